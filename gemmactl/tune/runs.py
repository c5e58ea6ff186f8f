"""A run as the objects of its folder tell it: state, attempts, checkpoints, failure, where it was published. Read calls only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from finetune_image.contract import (
    ATTEMPTS,
    CANCELLED,
    CHECKPOINTS,
    COMPLETE,
    DONE,
    FAILED,
    LATEST,
    METRICS,
    MODELS,
    RUN_FILE,
    RUNS,
    Code,
    TuneFailed,
)
from finetune_image.run import Run
from gemmactl.resources.cloud import Cloud, ObjectInfo
from gemmactl.tune.executions import Execution
from gemmactl.tune.published import places
from gemmactl.tune.told import Told, told

Word = Literal["done", "cancelled", "failed", "running", "starting", "stopped"]
_SMALL: Final = (RUN_FILE, METRICS, ATTEMPTS, FAILED, DONE)
_STEP: Final = "step-"


@dataclass(frozen=True)
class Attempt:
    """One line of ATTEMPTS, as far as it was said. Times in Unix seconds; `first` and `step`: of the optimizer, at both ends."""

    number: int = 0
    execution: str = ""
    started: float = 0.0
    first: int = 0
    step: int = 0
    phase: str = ""
    seconds: float = 0.0
    usd: float | None = None
    ended: float | None = None
    why: str = ""
    error: str = ""

    def document(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True)
class Checkpoint:
    """One that is whole."""

    step: int
    size: int


@dataclass(frozen=True)
class Tuned:
    """One run. What could not be read of it is as if it were not there."""

    name: str
    run_id: str
    bucket: str
    run: Run | None = None
    told: Told = field(default_factory=Told)
    attempts: tuple[Attempt, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    failure: Mapping[str, Any] | None = None
    """The document FAILED."""
    cancelled: bool = False
    done: Mapping[str, Any] | None = None
    """The document DONE."""

    @property
    def folder(self) -> str:
        """Its objects' prefix, without a slash at the end."""
        return f"{_runs(self.name)}{self.run_id}"

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.folder}"

    @property
    def usd(self) -> float | None:
        """Dollars of all attempts; None where the price is not known."""
        known = [one.usd for one in self.attempts if one.usd is not None]
        return sum(known) if known else self.told.usd

    @property
    def published(self) -> str:
        """Where its model is, or its adapter where nothing was merged, or ``."""
        kind = "adapter" if self.run is not None and not self.run.wish.output.merged else "model"
        return places(f"gs://{self.bucket}", self.name, self.run_id)[kind] if self.done is not None else ""

    @property
    def spent(self) -> bool:
        """Whether its budget ended it: `resume` would begin with the same one."""
        return self.failure is not None and self.failure.get("code") == Code.BUDGET_SPENT

    def state(self, execution: Execution | None) -> Word:
        """What it is now. `execution`: the newest of its job, if it is this run's."""
        if self.done is not None:
            return "done"
        if execution is not None and not execution.over:
            return "running" if self.told.attempt or self.told.phase else "starting"
        if self.cancelled:
            return "cancelled"
        return "failed" if self.failure is not None else "stopped"


def ids(cloud: Cloud, bucket: str, name: str) -> tuple[str, ...]:
    """Ids of a name's runs, the newest first."""
    made = [one for one in cloud.storage.list(bucket, _runs(name)) if one.name.endswith(f"/{RUN_FILE}")]
    made = [one for one in made if one.name.count("/") == _runs(name).count("/") + 1]
    return tuple(one.name.split("/")[-2] for one in sorted(made, key=lambda one: one.generation, reverse=True))


def read(cloud: Cloud, bucket: str, name: str, run_id: str) -> Tuned:
    """Everything that a run's folder says, in two rounds of reads."""
    prefix = f"{_runs(name)}{run_id}/"
    there = {one.name.removeprefix(prefix): one for one in cloud.storage.list(bucket, prefix)}
    wanted = [small for small in _SMALL if small in there]
    with ThreadPoolExecutor(len(_SMALL)) as pool:
        found = dict(zip(wanted, pool.map(lambda one: cloud.storage.read(bucket, prefix + one), wanted), strict=True))
    return Tuned(
        name,
        run_id,
        bucket,
        _run(found.get(RUN_FILE)),
        told(found.get(METRICS)),
        _attempts(found.get(ATTEMPTS)),
        _checkpoints(there),
        _document(found[FAILED]) if FAILED in found else None,
        CANCELLED in there,
        _document(found[DONE]) if DONE in found else None,
    )


def latest(cloud: Cloud, bucket: str, name: str) -> str:
    """The run id that the name stands for now, or ``."""
    found = cloud.storage.read(bucket, f"{MODELS}/{name}/{LATEST}")
    return found.decode("utf-8", "replace").strip()[:64] if found else ""


def _runs(name: str) -> str:
    return f"{RUNS}/{name}/"


def _run(content: bytes | None) -> Run | None:
    try:
        return Run.parse(content) if content else None
    except TuneFailed:
        return None


def _checkpoints(there: Mapping[str, ObjectInfo]) -> tuple[Checkpoint, ...]:
    """Those that have COMPLETE; the last object of a checkpoint."""
    whole: dict[str, int] = {}
    for name, one in there.items():
        parts = name.split("/")
        if len(parts) > 2 and parts[0] == CHECKPOINTS:
            whole[parts[1]] = whole.get(parts[1], 0) + one.size
    kept = [folder for folder in whole if f"{CHECKPOINTS}/{folder}/{COMPLETE}" in there and folder.startswith(_STEP)]
    steps = [(folder.removeprefix(_STEP), whole[folder]) for folder in kept]
    return tuple(sorted((Checkpoint(int(step), size) for step, size in steps if step.isdecimal()), key=lambda one: one.step))


def _attempts(content: bytes | None) -> tuple[Attempt, ...]:
    """Lines that are none are left out, and fields that are of another type."""
    known = {one.name: getattr(Attempt(), one.name) for one in fields(Attempt)}
    made = []
    for line in (content or b"").splitlines():
        said = _document(line)
        good = {k: v for k, v in said.items() if k in known and _alike(v, known[k])}
        if said:
            made.append(Attempt(**good))
    return tuple(made)


def _alike(value: object, default: object) -> bool:
    if isinstance(default, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _document(content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
