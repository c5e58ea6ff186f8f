"""Why a rollout failed: conditions, the revision's own words, and the container's last log lines. Knows no remedy table."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import Cloud, Json, LogEntry
from gemmactl.resources.service_state import State, state
from gemmactl.resources.storage_denial import storage_denied
from inference_image.contract import Code, LoadFailure

LINES: Final = 60
LOUD: Final = frozenset({"WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"})
DENIALS: Final = ("permission denied on secret", "does not have permission", "must have permission to read the image")


def log_query(name: str, revision: str) -> str:
    """The filter that finds one revision's lines. `name`: `projects/P/locations/L/services/S`."""
    _, _, _, region, _, service = name.split("/")
    parts = [
        'resource.type="cloud_run_revision"',
        f'resource.labels.service_name="{service}"',
        f'resource.labels.location="{region}"',
    ]
    return " AND ".join(parts + ([f'resource.labels.revision_name="{revision}"'] if revision else []))


def explain(cloud: Cloud, name: str, cause: Trouble | None) -> Trouble:
    """The Trouble of a failed rollout. Never fails itself: what can't be read is left out."""
    body = _try(lambda: cloud.run.get(name)) or {}
    now = state(body)
    revision = now.created_revision
    inner = _try(lambda: cloud.run.revision(f"{name}/revisions/{revision}")) if revision else None
    entries = _try(lambda: cloud.logs.entries(log_query(name, revision), newest=True, limit=LINES)) or ()
    failure = next((f for e in reversed(entries) if (f := _load_failure(e))), None)
    message = _message(cause, now, inner or {})
    short = name.rpartition("/")[2]
    facts: dict[str, Any] = {
        **(cause.facts if cause else {}),
        "message": message,
        "revision": revision,
        "condition": now.reason,
        "logs": [_line(e) for e in entries],
        "denied": denied(message, now.reason, failure),
    }
    if failure is None:
        # a container of others has no code for it: it stands in the lines, where they are known to be this revision's
        facts["denied"] |= bool(revision) and _storage_denied(entries, inner or body.get("template", {}))
        return Trouble(
            f"service {short} did not become ready",
            why=_loudest(entries) or message or "Cloud Run gave no reason",
            remedy="gemmactl doctor explains it; gemmactl logs shows all the container said",
            code="rollout-failed",
            exit=Exit.GATE,
            facts=facts,
        )
    facts["load_failed"] = {"code": str(failure.code), "object": failure.object, "detail": failure.detail}
    return Trouble(
        f"service {short} refused to start: {failure.code}",
        why=f"{failure.object}: {failure.detail}",
        remedy="gemmactl doctor says what to do about this code",
        code="load-failed",
        exit=Exit.GATE,
        facts=facts,
    )


def _message(cause: Trouble | None, now: State, revision: Json) -> str:
    own = next((c.get("message", "") for c in revision.get("conditions", []) if c.get("state") == "CONDITION_FAILED"), "")
    said = str(cause.facts.get("message") or cause.what) if cause else ""
    return "\n".join(dict.fromkeys(m for m in (said, now.message, own) if m))


def denied(message: str, reason: str = "", failure: LoadFailure | None = None) -> bool:
    """A lack of rights that a grant of this very run may still cure when it takes effect."""
    if failure is not None:
        return failure.code is Code.ACCESS_DENIED
    return reason == "SECRETS_ACCESS_CHECK_FAILED" or any(d in message.lower() for d in DENIALS)


def _storage_denied(entries: tuple[LogEntry, ...], revision: Json) -> bool:
    told = [[c.get("command", []), c.get("args", []), c.get("env", [])] for c in revision.get("containers", [])]
    return storage_denied((_line(e) for e in entries), str(revision.get("serviceAccount", "")), str(told))


def _load_failure(entry: LogEntry) -> LoadFailure | None:
    return LoadFailure.parse(entry.payload) if isinstance(entry.payload, dict) else None


def _line(entry: LogEntry) -> str:
    payload = entry.payload
    text = payload if isinstance(payload, str) else str(payload.get("message", payload))
    return f"{entry.severity} {text}" if entry.severity not in ("", "DEFAULT") else text


def _loudest(entries: tuple[LogEntry, ...]) -> str:
    """The last line of a traceback, or the last loud line: closer to the cause than the probe's verdict."""
    lines = [_line(e) for e in entries]
    for number, line in enumerate(lines):
        if "Traceback (most recent call last)" in line:
            raised = [x for x in "\n".join(lines[number:]).splitlines()[1:] if x.strip() and not x.startswith((" ", "\t"))]
            if raised:
                return raised[0]
    return next((_line(e) for e in reversed(entries) if e.severity in LOUD), "")


def _try(ask: Any) -> Any:
    try:
        return ask()
    except Trouble:
        return None
