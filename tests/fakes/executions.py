"""What Cloud Run adds to a job, and how an execution of it goes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemmactl.resources.cloud import Json
from gemmactl.resources.service_merge import merge

WRITTEN_BY_SERVER = (
    "uid", "generation", "observedGeneration", "terminalCondition", "conditions", "executionCount", "latestCreatedExecution",
    "etag", "createTime", "updateTime", "creator", "lastModifier", "reconciling",
)  # fmt: skip
START, END = "2026-11-22T12:00:00Z", "2026-11-22T12:30:00Z"


@dataclass(frozen=True)
class Ending:
    """How the next runs go: asked for `polls` times they end so (-1: they run until somebody ends or cancels them)."""

    exit_code: int = 0
    polls: int = 0
    retried: int = 0
    """How often an attempt failed before the last one."""


def defaulted_job(body: Json, number: str) -> Json:
    """The body with the server's defaults where the caller had no opinion."""
    outer = body.get("template", {})
    task = outer.get("template", {})
    limits = {"resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}}}
    defaults: Json = {
        "maxRetries": 3,
        "timeout": "600s",
        "serviceAccount": f"{number}-compute@developer.gserviceaccount.com",
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
    }
    full = {**merge(defaults, task), "containers": [merge(limits, c) for c in task.get("containers", [])]}
    return {"launchStage": "GA", **body, "template": {"taskCount": 1, **outer, "template": full}}


def job_state(name: str, body: Json, old: Json | None) -> Json:
    """A job as the server tells it after it was created or updated."""
    generation = str(int((old or {}).get("generation", 0)) + 1)
    kept = {key: old[key] for key in ("createTime", "executionCount", "latestCreatedExecution") if old and key in old}
    wish = {key: value for key, value in body.items() if key not in WRITTEN_BY_SERVER}
    return {
        "createTime": START,
        **wish,
        **kept,
        "name": name,
        "generation": generation,
        "observedGeneration": generation,
        "etag": f'"{generation}"',
        "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
    }


def begun(name: str, job: Json) -> Json:
    """A fresh execution of a job."""
    outer = job["template"]
    return {
        **{key: outer[key] for key in ("labels", "annotations", "parallelism", "taskCount", "template") if key in outer},
        "name": name,
        "uid": name.rpartition("-")[2],
        "generation": "1",
        "createTime": START,
        "startTime": START,
        "job": job["name"].rpartition("/")[2],
        "runningCount": outer["taskCount"],
        "reconciling": True,
        "conditions": [{"type": "Completed", "state": "CONDITION_RECONCILING"}],
        "etag": '"1"',
    }


def ended(execution: Json, ending: Ending, *, cancelled: bool = False) -> Json:
    """The execution when it is over."""
    count = execution["taskCount"]
    counted = "cancelledCount" if cancelled else "failedCount" if ending.exit_code else "succeededCount"
    condition: dict[str, Any] = {"type": "Completed", "state": "CONDITION_SUCCEEDED"}
    if cancelled:
        condition |= {"state": "CONDITION_FAILED", "executionReason": "CANCELLED", "message": "Cancelled by user."}
    elif ending.exit_code:
        task = f"{execution['name'].rpartition('/')[2]}-task0"
        said = f"Task {task} failed with exit code: {ending.exit_code} and message: The container exited with an error."
        condition |= {"state": "CONDITION_FAILED", "executionReason": "NON_ZERO_EXIT_CODE", "message": said}
    out = {**execution, counted: count, "completionTime": END, "conditions": [condition]}
    if ending.retried:
        out["retriedCount"] = ending.retried
    out.pop("runningCount", None)
    out.pop("reconciling", None)
    return out


def tasks_of(execution: Json, ending: Ending) -> tuple[Json, ...]:
    """Its tasks, as far as they are."""
    short = execution["name"].rpartition("/")[2]
    over = "completionTime" in execution
    status = {"code": 10, "message": "The container exited with an error."} if ending.exit_code else {}
    last = {"status": status, **({"exitCode": ending.exit_code} if ending.exit_code else {})}
    result: Json = {"lastAttemptResult": last} if over else {}
    return tuple(
        {
            **{key: value for key, value in execution["template"].items() if key != "containers"},
            "containers": execution["template"]["containers"],
            "name": f"{execution['name']}/tasks/{short}-task{index}",
            "job": execution["job"],
            "execution": short,
            "startTime": START,
            **({"index": index} if index else {}),
            **({"retried": ending.retried} if ending.retried else {}),
            **({"completionTime": END} if over else {"reconciling": True}),
            **result,
            "conditions": execution["conditions"],
        }
        for index in range(execution["taskCount"])
    )
