"""A desk for finetune run: a cloud in memory, a base, data, a worker that is played by hand, a clock that is turned."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finetune_image.contract import ATTEMPTS, DONE, FAILED, METRICS, RUNS, Kind, metric
from gemmactl.kernel.resource import Clock
from gemmactl.resources.context import BuildContext
from gemmactl.result import Result
from gemmactl.serving.folder import Hub
from gemmactl.serving.folder import hub as no_hub
from gemmactl.tune.data_source import Places
from gemmactl.tune.run import Way, run
from gemmactl.tune.wishes import Asked, asked
from tests.fakes.cloud import FakeCloud
from tests.fakes.executions import Ending
from tests.serving.ear import Ear, place, settings, with_model

PINS = b"torch==2.9.1 \\\n    --hash=sha256:00\ntrl==1.16.0\npeft==0.21.2\n"
CONTEXT = BuildContext((("finetune_image/requirements.txt", PINS),), "ab" * 32)
ROWS = "".join(json.dumps({"prompt": f"What is {n}?", "completion": f"It is {n}."}) + "\n" for n in range(40))


@dataclass
class Desk:
    """`played`: what happens at each look of a follower, in order; the last one stays."""

    folder: Path
    cloud: FakeCloud = field(default_factory=lambda: with_model(FakeCloud()))
    ear: Ear = field(default_factory=lambda: Ear(yes=True))
    played: list[Callable[[], None]] = field(default_factory=list)
    slept: float = 0.0
    environ: dict[str, str] = field(default_factory=dict)
    hub: Hub = no_hub

    def __post_init__(self) -> None:
        self.cloud.ending = Ending(polls=-1)
        (self.folder / "sql.jsonl").write_text(ROWS)

    def asked(self, **flags: Any) -> Asked:
        given = {"data": "sql.jsonl", "project": "demo-proj", "model": "gs://weights/m", **flags}
        return asked(settings(self.folder, **self.environ), given, self.ear, self.folder)

    def run(self, *, yes: bool = True, follow: bool = True, again: bool = False, dry: bool = False, **flags: Any) -> Result:
        way = Way(yes, follow, again, dry, Clock(lambda: self.slept, self._sleep), CONTEXT)
        here = replace(place(self.cloud), hub=self.hub)
        return run(self.asked(**flags), here, Places(lambda: self.cloud, self.folder), self.ear, way)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        if self.played:
            self.played.pop(0)()

    # --- what a worker leaves ----------------------------------------------------------------------

    @property
    def bucket(self) -> str:
        return "demo-proj-gemmactl-models-us-central1"

    @property
    def run_ids(self) -> list[str]:
        names = [o.name for o in self.cloud.storage.list(self.bucket, f"{RUNS}/sql/") if o.name.endswith("/run.json")]
        return [name.split("/")[-2] for name in names]

    def put(self, name: str, content: bytes) -> None:
        self.cloud.storage.write(self.bucket, f"{RUNS}/sql/{self.run_ids[-1]}/{name}", content)

    def tell(self, *lines: str) -> None:
        self.put(METRICS, "\n".join(lines).encode())

    def end(self, code: int = 0) -> None:
        """The newest execution is over."""
        self.cloud.jobs.end(list(self.cloud.state.executions)[-1], code)

    def attempt(self, **more: Any) -> None:
        line = {"number": 1, "execution": "e", "started": 1.8e9, "first": 0, "step": 20, "seconds": 3500.0, "usd": 1.0, **more}
        self.put(ATTEMPTS, json.dumps(line).encode() + b"\n")

    def done(self) -> None:
        figures = {"ended": "steps", "step": 40, "max_steps": 40, "baseline": 2.5, "loss": 1.25}
        self.tell(train(40, 1.0), metric(Kind.END, 3.0, 1, why="done"))
        self.put(DONE, json.dumps({"run_id": "x", "figures": figures, "seconds": 900.0, "usd": 0.26}).encode())
        self.end()

    def failed(self, code: str = "out_of_gpu_memory", **more: Any) -> None:
        said = {"code": code, "where": "step 3", "detail": "24 GB are full", "advice": ["--max-length 512"], **more}
        self.put(FAILED, json.dumps(said).encode())
        self.end(1)


def train(step: int, loss: float, attempt: int = 1, *, rate: float = 1500.0) -> str:
    return metric(Kind.TRAIN, 1.0, attempt, step=step, max_steps=40, loss=loss, tokens_per_s=rate, eta_s=60.0, usd=0.1)
