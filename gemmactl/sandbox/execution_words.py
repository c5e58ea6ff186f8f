"""What Cloud Run says of executions and their tasks: conditions, counts, results. Pure; knows no process.

Sentences: source: recordings and published logs of Cloud Run jobs (2025 and 2026); those marked so are a guess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
OK, CANCELLED, DEADLINE, ABORTED, INTERNAL = 0, 1, 4, 10, 13
"""google.rpc.Code of how an attempt ended. Source: the operation errors of real runs: 10 for an exit code, 4 for the timeout."""
EXITED: Final = "The container exited with an error."
TIMED_OUT: Final = "The configured timeout was reached."
BY_USER: Final = "Cancelled by user."
STOPPED: Final = "The sandbox was stopped before the execution completed."
STATUS: Final = {DEADLINE: "DEADLINE_EXCEEDED", ABORTED: "ABORTED", INTERNAL: "INTERNAL"}
_COUNTS: Final = ("runningCount", "succeededCount", "failedCount", "cancelledCount", "retriedCount")


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `term_signal`: the signal that ended the container, 0 for none."""

    code: int = OK
    message: str = ""
    exit_code: int = 0
    term_signal: int = 0

    def result(self) -> Json:
        """As a task's lastAttemptResult."""
        status = {"code": self.code, "message": self.message} if self.code else {}
        found = {"exitCode": self.exit_code, "termSignal": self.term_signal}
        return {"status": status, **{key: value for key, value in found.items() if value}}


def sentence(task: str, result: Json) -> str:
    """Why an execution failed, by the last result of a task (short name)."""
    return f"Task {task} failed with exit code: {result.get('exitCode', 0)} and message: {result['status']['message']}"


def counts(tasks: Iterable[Json]) -> Json:
    """How many tasks are in which state; zeros are absent."""
    found = dict.fromkeys(_COUNTS, 0)
    for task in tasks:
        state = state_of(task)
        if state != "pending":
            found[f"{state}Count"] += 1
        found["retriedCount"] += bool(task.get("retried"))
    return {key: value for key, value in found.items() if value}


def state_of(task: Json) -> str:
    """pending, running, succeeded, failed or cancelled."""
    if "completionTime" not in task:
        return "running" if "startTime" in task else "pending"
    code = task["lastAttemptResult"]["status"].get("code", OK)
    return {OK: "succeeded", CANCELLED: "cancelled"}.get(code, "failed")


def condition(kind: str, now: str, message: str = "", *, state: str = "SUCCEEDED", reason: str = "") -> Json:
    """One condition of an execution or a task."""
    out: Json = {"type": kind, "state": f"CONDITION_{state}", "lastTransitionTime": now}
    if message:
        out["message"] = message
    if reason:
        out |= {"executionReason": reason, "severity": "ERROR"}
    return out


def completed(now: str, code: int, message: str) -> Json:
    """The condition that says how it ended."""
    if code == OK:
        return condition("Completed", now, message)
    return condition("Completed", now, message, state="FAILED", reason="CANCELLED" if code == CANCELLED else "NON_ZERO_EXIT_CODE")


def with_condition(conditions: Iterable[Json], new: Json) -> list[Json]:
    """The conditions with one of them replaced or added; Completed stays first, as Cloud Run lists it."""
    rest = [one for one in conditions if one["type"] != new["type"]]
    return sorted([*rest, new], key=lambda one: one["type"] != "Completed")


def span(seconds: float) -> str:
    """149.63 -> 2m29.63s, as the conditions write it."""
    minutes, rest = divmod(round(seconds, 2), 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{rest:.2f}".rstrip("0").rstrip(".") + "s"
