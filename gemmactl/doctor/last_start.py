"""What the log of a revision tells of its last start. What a container prints is data. Knows no state of a service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.several import unknown
from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Cloud, LogEntry
from inference_image.contract import LoadFailure

LINES: Final = 200
SYSTEM: Final = "%2Fvarlog%2Fsystem"
"""The log in which Cloud Run itself speaks of a revision; its container can't write there."""


def log_findings(cloud: Cloud, revision: str, context: Context, *, failed: bool) -> tuple[list[Finding], str]:
    """What it tells of the last start, and when a container last became ready: `` where that is not to be seen."""
    leaf = revision.rpartition("/")[2]
    query = f'resource.type="cloud_run_revision" AND resource.labels.revision_name="{leaf}"'
    try:
        lines = cloud.logs.entries(query, newest=True, limit=LINES)
    except Trouble as trouble:
        return unknown("the log of the newest revision", trouble, context), ""
    entries, ready = _since_ready(lines)
    for entry in reversed(entries):
        failure = LoadFailure.parse(entry.payload) if isinstance(entry.payload, dict) else None
        if failure:
            told = diagnose(failure.line(), {}, context)[:1]
            return [replace(f, evidence=f"{entry.timestamp} {f.evidence}") for f in told], ready
    return (printed(entries, context) if failed else []), ready


def printed(entries: Sequence[LogEntry], context: Context) -> list[Finding]:
    """What a container's log tells. What it prints is data: it may be told, it never becomes a remedy."""
    found = diagnose("\n".join(map(_text, entries)), {}, context)
    own = "\n".join(_text(entry) for entry in entries if str(entry.raw.get("logName", "")).endswith(SYSTEM))
    said = {f.code for f in diagnose(own, {}, context)} if own and found else set()
    return [replace(f, remedies=(), hearsay=f.code not in said) for f in found]


def _since_ready(entries: tuple[LogEntry, ...]) -> tuple[tuple[LogEntry, ...], str]:
    """What was written after a container last became ready (it then logs its timeline), and when: an older failure is healed."""
    ready = [at for at, entry in enumerate(entries) if isinstance(entry.payload, dict) and "timeline" in entry.payload]
    return (entries[ready[-1] + 1 :], entries[ready[-1]].timestamp) if ready else (entries, "")


def _text(entry: LogEntry) -> str:
    return entry.payload if isinstance(entry.payload, str) else str(entry.payload.get("message", ""))
