"""How a live service or job fares: ready or not and why; of a service, its revisions and its address. Knows only the v2 JSON."""

from __future__ import annotations

from dataclasses import dataclass

from gemmactl.resources.cloud import Json


@dataclass(frozen=True)
class State:
    """`reason` is the API's word (HEALTH_CHECK_CONTAINER_ERROR, SECRETS_ACCESS_CHECK_FAILED, ...)."""

    ready: bool
    reconciling: bool
    reason: str
    message: str
    uri: str
    created_revision: str
    """Short name of the newest revision, also when it failed."""
    ready_revision: str


def state(body: Json) -> State:
    """Read the status of a service, or of a job, which has no address and no revisions."""
    terminal = body.get("terminalCondition") or {}
    conditions: tuple[Json, ...] = (terminal, *body.get("conditions", []))
    failed: Json = next((c for c in conditions if c.get("state") == "CONDITION_FAILED"), {})
    current = str(body.get("observedGeneration", "")) == str(body.get("generation", ""))
    reconciling = bool(body.get("reconciling")) or not current
    return State(
        ready=terminal.get("state") == "CONDITION_SUCCEEDED" and not reconciling,
        reconciling=reconciling,
        reason=failed.get("revisionReason") or failed.get("reason") or failed.get("executionReason") or "",
        message=terminal.get("message") or failed.get("message") or "",
        uri=body.get("uri", ""),
        created_revision=_short(body.get("latestCreatedRevision", "")),
        ready_revision=_short(body.get("latestReadyRevision", "")),
    )


def stopped(body: Json) -> bool:
    """Whether it was told to run no instance at all: manual scaling to 0."""
    scaling: Json = body.get("scaling", {})
    return scaling.get("scalingMode") == "MANUAL" and not scaling.get("manualInstanceCount")


def _short(name: str) -> str:
    return name.rpartition("/")[2]
