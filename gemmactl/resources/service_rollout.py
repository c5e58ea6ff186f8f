"""What goes on around a write to a service: waiting, reading again, writing under its etag. Knows no smoke test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Work
from gemmactl.resources import service_trouble
from gemmactl.resources.cloud import Cloud, Json
from gemmactl.resources.pace import pauses
from gemmactl.resources.service_phases import Phases
from gemmactl.resources.service_state import state

TRIES: Final = 5
Prove = Callable[[Json, Work], None]
"""Gets the live service, whose newest revision is ready and has no requests yet. Raises Trouble: it must not get any."""


@dataclass(frozen=True)
class Rollout:
    """How a new revision comes to serve: at 0 %, proven, then its share. Without one, the API's way: at once."""

    share: int = 100
    """Percent of the requests that it gets once it is proven; below 100 it waits for `promote`."""
    wait: bool = True
    """False: the write alone; the revision stays without requests until somebody proves it."""
    prove: Prove | None = None
    admit: Callable[[Json], None] | None = None
    """Gets the service as it is about to be opened, with who has its requests then. Raises Trouble: it must not be."""

    def opens(self, body: Json, fields: Json) -> None:
        """Asked before `fields`, which open the service, are written. If they move requests, who has them now does not count."""
        if self.admit is not None:
            moved: Json = {"trafficStatuses": []} if "traffic" in fields else {}
            self.admit({**body, **moved, **fields})


def conflict(trouble: Trouble) -> bool:
    """Whether somebody else wrote in between: read again and lay the wish over what is there now."""
    return trouble.facts.get("status") in (409, 412)


def finish(cloud: Cloud, work: Work, name: str, operation: str, *, fresh: bool = True) -> None:
    """Wait for an operation on a service and for the service itself. `fresh`: it makes a revision, whose start is told.

    Raises:
        Trouble: it failed, with the container's own words.
        Left: nobody waits any longer; it goes on in the cloud.
    """
    pace, phases = pauses(), Phases(cloud, work, name)
    try:
        while not cloud.run.finished(operation):
            if fresh:
                phases.tell()
            work.wait(next(pace), leavable=True)
    except Trouble as trouble:
        # an operation that can't be asked for has not failed: the step begins again, and joins it
        if trouble.code == "step-timeout" or trouble.facts.get("passing") or _still(cloud, name, trouble):
            raise
        raise service_trouble.explain(cloud, name, trouble) from trouble
    settle(cloud, work, name)


def _still(cloud: Cloud, name: str, trouble: Trouble) -> bool:
    """Whether only the operation may not be read, which says nothing about the revision."""
    return trouble.facts.get("status") == 403 and state(cloud.run.get(name) or {}).reconciling


def settle(cloud: Cloud, work: Work, name: str) -> None:
    """Wait until the service itself says how it fares."""
    phases = Phases(cloud, work, name)
    for pause in pauses():
        now = state(cloud.run.get(name) or {})
        if now.ready:
            return work.progress(now.uri)
        if not now.reconciling:
            raise service_trouble.explain(cloud, name, None)
        phases.tell()
        work.wait(pause, leavable=True)
    return None


def amend(cloud: Cloud, work: Work, name: str, change: Callable[[Json], Json]) -> Json:
    """Read, change, write under the etag, wait; again when somebody else wrote in between. Returns the live service.

    `change` gets the live body and returns the fields to write; None as a value clears a field, no fields end it.
    """
    pace = pauses()
    for attempt in range(TRIES):
        live = cloud.run.get(name)
        if live is None:
            raise gone(name)
        fields = change(live)
        if not fields:
            return live
        guard = {"name": name, **({"etag": live["etag"]} if "etag" in live else {})}
        body = {**guard, **{key: value for key, value in fields.items() if value is not None}}
        try:
            operation = cloud.run.update(body, tuple(sorted(fields)))
        except Trouble as trouble:
            # an answer that was lost is no fault either: what is there is read again, and `change` asks for the rest
            if not (conflict(trouble) or trouble.facts.get("passing")) or attempt == TRIES - 1:
                raise
            work.wait(next(pace))
        else:
            return _taken(cloud, work, live, operation)
    raise AssertionError("the last attempt returns or raises")


def _taken(cloud: Cloud, work: Work, before: Json, operation: str) -> Json:
    """Wait until a write beside the template is in force. A newest revision that had failed before stays failed, and an
    operation that only says so is no failure.
    """
    name = str(before["name"])
    if state(before).ready:
        finish(cloud, work, name, operation, fresh=False)
        return cloud.run.get(name) or {}
    pace = pauses()
    try:
        while not cloud.run.finished(operation):
            work.wait(next(pace), leavable=True)
    except Trouble as trouble:
        if trouble.code == "step-timeout" or (cloud.run.get(name) or {}).get("etag") == before.get("etag"):
            raise
    for pause in pauses():
        live = cloud.run.get(name) or {}
        if not state(live).reconciling:
            return live
        work.wait(pause, leavable=True)
    raise AssertionError("unreachable: pauses never end")


def gone(name: str) -> Trouble:
    short = name.rpartition("/")[2]
    return Trouble(
        f"there is no service {short} any more",
        why="somebody removed it meanwhile",
        remedy="run the same command again, or gemmactl deploy",
        code="service-missing",
    )


def overtaken(name: str, what: str) -> Trouble:
    """Two deploys at once: the later one owns the newest revision, and proves it itself."""
    short = name.rpartition("/")[2]
    return Trouble(
        f"another deploy of {short} came in between",
        why=what,
        remedy=f"gemmactl status {short} shows what it made; run the same command again if yours is to serve",
        code="overtaken",
    )
