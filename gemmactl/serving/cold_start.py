"""The last start of a service's container, as its own log line tells it. Makes one read call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemmactl.errors import Trouble
from gemmactl.serving import evidence, show
from gemmactl.serving.place import Place


@dataclass(frozen=True)
class ColdStart:
    """When a container became ready and how it got there; seconds count from the start of its process."""

    at: str
    revision: str
    seconds: float | None
    bytes: int | None
    gb_per_s: float | None
    phases: tuple[tuple[str, float], ...] = ()

    def document(self) -> dict[str, Any]:
        rows = [{"name": name, "seconds": seconds} for name, seconds in self.phases]
        return {**vars(self), "phases": rows}

    def __str__(self) -> str:
        """`41.3 s after the container started, 8.6 GB at 0.51 GB/s (2026-11-22T12:00:01Z)`."""
        took = "ready" if self.seconds is None else f"ready {self.seconds:.1f} s after the container started"
        size = "" if self.bytes is None else f", {show.size(self.bytes)}"
        rate = "" if self.gb_per_s is None else f" at {self.gb_per_s:.2f} GB/s"
        return f"{took}{size}{rate} ({self.at[:19]}Z)"


def last(place: Place, name: str, *, foreign: bool) -> ColdStart | str:
    """The newest line of a start that Cloud Logging still has; else in words why none is known. `foreign`: it runs vLLM."""
    if foreign:
        # a line that is there all the same is of a revision with gemmactl's own server
        return "not known: vLLM writes no timeline of its start"
    try:
        found = place.cloud.logs.entries(evidence.query(place, name, "jsonPayload.timeline:*"), newest=True, limit=1)
    except Trouble as trouble:
        return f"unknown: {trouble.what}"
    record = found[-1].payload.get("timeline") if found and isinstance(found[-1].payload, dict) else None
    if not isinstance(record, dict):
        return "none in the log, which keeps 30 days unless the project says otherwise"
    labels = found[-1].raw.get("resource", {}).get("labels", {})
    phases = record.get("phases")
    rows = [row for row in phases if isinstance(row, dict)] if isinstance(phases, list) else []
    return ColdStart(
        found[-1].timestamp,
        str(labels.get("revision_name", "")),
        _number(record.get("ready")),
        None if (size := _number(record.get("bytes"))) is None else int(size),
        _number(record.get("gb_per_s")),
        tuple((evidence.clean(str(row.get("name", ""))), _number(row.get("seconds")) or 0.0) for row in rows),
    )


def heard(place: Place, name: str) -> str:
    """When the service last wrote anything; `` when nothing is known."""
    try:
        found = place.cloud.logs.entries(evidence.query(place, name), newest=True, limit=1)
    except Trouble:
        return ""
    return f"{found[-1].timestamp[:19]}Z" if found else ""


def _number(value: object) -> float | None:
    """A log is text from outside: what is no number is not known."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
