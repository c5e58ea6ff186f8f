"""A voice that remembers, a wire that answers, a place in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemmactl.client.wire import Reply
from gemmactl.errors import usage
from gemmactl.kernel.events import Event
from gemmactl.result import Block, Target
from gemmactl.serving.place import Place
from gemmactl.settings import Settings, Value, load
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud

SAMPLE = Path(__file__).parents[2] / "gemmactl" / "sandbox" / "sample" / "model"
ANSWER = {"text": "Hi", "stop_reason": "length", "usage": {"completion_tokens": 8}, "model": "m", "type": "text"}


@dataclass
class Ear:
    """Remembers all talk; answers questions from `yes` (None: there is nobody)."""

    yes: bool | None = None
    streams: bool = True
    said: list[str] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """What is typed, one for each question; none left: there is nobody."""
    asked: list[str] = field(default_factory=list)

    def aim(self, target: Target) -> None:
        self.said.append(target)

    def say(self, *blocks: Block) -> None:
        self.said += [line.text for line in lay(blocks, 1000)]

    def show(self, *blocks: Block) -> None:
        self.say(*blocks)

    def events(self, event: Event) -> None:
        self.told.append(event)

    def data(self, text: str) -> None:
        self.out.append(text)

    def confirm(self, question: str, *, flag: str) -> bool:
        if self.yes is None:
            raise usage("nobody", why="no terminal", remedy=flag)
        return self.yes

    def ask(self, question: str, *, instead: str, default: str = "") -> str:
        self.asked.append(question)
        if not self.answers:
            raise usage("nobody", why="no terminal", remedy=instead)
        return self.answers.pop(0) or default

    def secret(self, question: str, *, instead: str) -> str:
        raise usage("nobody", why="no terminal", remedy=instead)


@dataclass
class Answers:
    """A wire that always answers the same."""

    status: int = 200
    content: Any = field(default_factory=lambda: ANSWER)
    sent: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        self.sent.append((url, headers, json.loads(body or b"null")))
        return Reply(self.status, {}, json.dumps(self.content).encode())


def place(cloud: FakeCloud, wire: Answers | None = None) -> Place:
    return Place(Value("demo-proj", "--project"), Value("us-central1", "default"), "cloud", cloud, wire or Answers())


def settings(folder: Path, **environ: str) -> Settings:
    return load(environ, folder, folder)


def with_model(cloud: FakeCloud, prefix: str = "m", *, without: str = "") -> FakeCloud:
    """The sample model in gs://weights/PREFIX, but for one file; and two subnets that reach it."""
    from gemmactl.resources.cloud import BucketInfo
    from gemmactl.resources.surroundings import SubnetInfo

    for name in ("default", "gpus"):
        subnet = SubnetInfo("default", "10.128.0.0/20", private_google_access=True)
        cloud.state.subnets[f"projects/{cloud.project}/regions/us-central1/subnetworks/{name}"] = subnet
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    for path in sorted(SAMPLE.iterdir()):
        if path.name != without:
            cloud.storage.write("weights", f"{prefix}/{path.name}", path)
    cloud.calls.clear()
    return cloud
