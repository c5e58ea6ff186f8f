"""An execution of a job in words: its state, how it ended, what it is called. Knows nothing of what a job is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gemmactl.resources.cloud import Cloud, Json

State = Literal["pending", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True)
class Execution:
    """`name`: the full one; times as the API tells them, `` for one that has not come."""

    name: str
    state: State
    started: str = ""
    ended: str = ""
    retried: int = 0
    """Attempts after the first, all tasks together."""
    message: str = ""
    """Cloud Run's own words, where it did not succeed."""
    memory: str = ""
    """What its container had, whatever the job has by now; `` where it is not told."""
    timeout: int = 0
    """Likewise the seconds of an attempt; 0 where they are not told."""

    @property
    def short(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def over(self) -> bool:
        return self.state not in ("pending", "running")

    @property
    def words(self) -> str:
        """`failed after 3 retries: The container exited with an error.`"""
        again = f" after {self.retried} retr{'ies' if self.retried > 1 else 'y'}" if self.retried else ""
        return f"{self.state}{again}" + (f": {self.message}" if self.message and self.state == "failed" else "")

    def document(self) -> dict[str, Any]:
        return {
            "execution": self.short,
            "state": self.state,
            "started": self.started,
            "ended": self.ended,
            "retried": self.retried,
            "message": self.message,
        }


def read(body: Mapping[str, Any]) -> Execution:
    """From v2 JSON."""
    condition: Json = next((c for c in body.get("conditions", ()) if c.get("type") == "Completed"), {})
    return Execution(
        str(body.get("name", "")),
        _state(body, condition),
        str(body.get("startTime", "")),
        str(body.get("completionTime", "")),
        int(body.get("retriedCount", 0)),
        str(condition.get("message", "")) if condition.get("state") == "CONDITION_FAILED" else "",
        _memory(body),
        int(seconds) if (seconds := str(body.get("template", {}).get("timeout", "")).removesuffix("s")).isdigit() else 0,
    )


def _memory(body: Mapping[str, Any]) -> str:
    box: Json = next(iter(body.get("template", {}).get("containers", ())), {})
    return str(box.get("resources", {}).get("limits", {}).get("memory", ""))


def newest(cloud: Cloud, job: str) -> Execution | None:
    """The newest execution of a job by its full name."""
    found = cloud.jobs.executions(job)
    return read(found[0]) if found else None


def alive(cloud: Cloud, job: str) -> tuple[Execution, ...]:
    """Those that have not ended, the newest first."""
    return tuple(one for one in map(read, cloud.jobs.executions(job)) if not one.over)


def _state(body: Mapping[str, Any], condition: Mapping[str, Any]) -> State:
    if not body.get("completionTime"):
        return "running" if body.get("startTime") else "pending"
    if condition.get("executionReason") == "CANCELLED" or body.get("cancelledCount"):
        return "cancelled"
    return "succeeded" if condition.get("state") == "CONDITION_SUCCEEDED" else "failed"
