"""What Cloud Run fills into a job that was accepted. Knows no rule and no state."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def with_defaults(job: Json, compute_account: str) -> Json:
    """The job as the server tells it back. Source: published answers of the v2 API."""
    outer = dict(job.get("template", {}))
    task = dict(outer.get("template", {}))
    task.setdefault("maxRetries", 3)
    task.setdefault("timeout", "600s")
    task.setdefault("serviceAccount", compute_account)
    task.setdefault("executionEnvironment", "EXECUTION_ENVIRONMENT_GEN2")
    task["containers"] = [_container(c) for c in task.get("containers", [])]
    outer.setdefault("taskCount", 1)
    return {"launchStage": "GA", **job, "template": {**outer, "template": task}}


def _container(container: Json) -> Json:
    resources = dict(container.get("resources", {}))
    resources["limits"] = {"cpu": "1000m", "memory": "512Mi", **resources.get("limits", {})}
    return {**container, "resources": resources}
