"""What went wrong while revisions served: the newest error lines of those that have traffic. Knows no start and no screen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context, Finding
from gemmactl.resources.cloud import Cloud, Json, LogEntry

ERRORS: Final = 50
"""Error lines that are read; more would tell of an older time."""
KINDS: Final = 10
"""Different lines that are judged: most of fifty say the same, and each costs milliseconds."""
RECENT: Final = timedelta(days=1)
"""How old an error may be that is still told as a problem; nothing says whether an older one would come again."""
OWN_LOGS: Final = ("%2Fvarlog%2Fsystem", "%2Frequests")
"""Logs in which Cloud Run itself speaks; a container can't write there."""
BY_LOAD: Final = frozenset({"oom", "cuda_oom", "timeout", "no_instance"})
"""What requests bring about: that a container became ready afterwards heals none of them."""


def serving(service: Json) -> tuple[str, ...]:
    """Names of the revisions that requests reach."""
    ready = str(service.get("latestReadyRevision") or "").rpartition("/")[2]
    shares = [share for share in service.get("trafficStatuses") or () if share.get("percent")]
    named = [str(share.get("revision") or ready).rpartition("/")[2] for share in shares] or [ready]
    return tuple(dict.fromkeys(name for name in named if name))


def newest_errors(cloud: Cloud, revisions: Sequence[str]) -> tuple[LogEntry, ...]:
    """Their last error lines, in one call, oldest first.

    Raises:
        Trouble: they can't be read.
    """
    named = " OR ".join(f'"{name}"' for name in revisions)
    query = f'resource.type="cloud_run_revision" AND resource.labels.revision_name=({named}) AND severity>=ERROR'
    return cloud.logs.entries(query, newest=True, limit=ERRORS)


def judged(entries: Sequence[LogEntry], ready: str, context: Context, now: datetime) -> list[Finding]:
    """Each failure once, at its newest time. `ready`: when a container last became ready, or ``.

    What it prints is data: it may be told, it never becomes a remedy.
    """
    since, often = _time(ready), Counter[str]()
    newest: dict[str, tuple[LogEntry, str]] = {}
    for entry in reversed(entries):
        if not (text := _said(entry)):
            continue
        kind = re.sub(r"[\d.]+|0x[0-9a-f]+", "#", text[:2000])
        often[kind] += 1
        newest.setdefault(kind, (entry, text))
    found: dict[str, Finding] = {}
    for kind, (entry, text) in list(newest.items())[:KINDS]:
        at = _time(entry.timestamp)
        healed = since is not None and (at is None or at < since)
        own = str(entry.raw.get("logName", "")).endswith(OWN_LOGS)
        for one in diagnose(text, {}, context)[:1]:
            if healed and one.subcategory not in BY_LOAD:
                continue
            told = f"It served then: last at {entry.timestamp}, {often[kind]} of the last {len(entries)} error lines."
            recent = at is not None and now - at <= RECENT
            state = one.state if recent else "advice"
            seen = f"{entry.timestamp} {one.evidence}"
            dated = replace(one, cause=f"{one.cause} {told}", evidence=seen, state=state, remedies=(), hearsay=not own)
            found.setdefault(one.code, dated)
    return list(found.values())


def beside(failed: Sequence[Finding], start: Sequence[Finding]) -> list[Finding]:
    """Those that neither the start's log nor the state told already; that a container ended is what they told of."""
    codes = {f.code for f in start}
    ended = any(f.state == "problem" for f in start)
    return [
        f for f in failed if f.code not in codes and not (ended and f.category == "container" and f.subcategory not in BY_LOAD)
    ]


def _said(entry: LogEntry) -> str:
    """Its text; of a start that failed none, because the log of the start is read for that."""
    if isinstance(entry.payload, str):
        return entry.payload
    return "" if "load_failed" in entry.payload else str(entry.payload.get("message", ""))


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
