"""How far a new revision is: image, start, gigabytes loaded, ready; from its conditions and log. Never fails, judges nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Work
from gemmactl.resources import service_trouble
from gemmactl.resources.cloud import Cloud, Json, LogEntry
from gemmactl.resources.service_state import state

EVERY: Final = 5.0
"""Seconds between two looks. Source: Cloud Logging takes 60 reads a minute of a whole project."""
NEWEST: Final = 40
STARTING: Final = "Starting new instance"
"""Source: Cloud Run's own line in a service's log."""


class Phases:
    """Watches the newest revision of one service through its rollout; older ones' lines are not its own."""

    def __init__(self, cloud: Cloud, work: Work, name: str) -> None:
        self._cloud, self._work, self._name = cloud, work, name
        self._due = work.clock.now() + EVERY
        self._readable = True

    def tell(self) -> None:
        """One progress where there is something new to say; now and then, however often it is asked."""
        if self._work.clock.now() < self._due:
            return
        self._due = self._work.clock.now() + EVERY
        revision = state(self._read(lambda: self._cloud.run.get(self._name)) or {}).created_revision
        if not revision:
            return
        text, fraction = self._told(revision) or (self._pulled(revision), None)
        if text:
            self._work.progress(f"{revision}: {text}", fraction)

    def _told(self, revision: str) -> tuple[str, float | None] | None:
        """What the container and Cloud Run wrote last."""
        if not self._readable:
            return None
        query = service_trouble.log_query(self._name, revision)
        entries = self._read(lambda: self._cloud.logs.entries(query, newest=True, limit=NEWEST))
        self._readable = entries is not None  # who may not read logs is not asked again
        return next((said for entry in reversed(entries or ()) if (said := phase(entry))), None)

    def _pulled(self, revision: str) -> str:
        found = self._read(lambda: self._cloud.run.revision(f"{self._name}/revisions/{revision}")) or {}
        conditions: list[Json] = found.get("conditions", [])
        done = any(c.get("type") == "ContainerReady" and c.get("state") == "CONDITION_SUCCEEDED" for c in conditions)
        return "image is there, the container starts" if done else "image is fetched"

    @staticmethod
    def _read(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Trouble:
            return None


def phase(entry: LogEntry) -> tuple[str, float | None] | None:
    """One line of a revision's log as (words, fraction); None: it tells nothing about the start."""
    payload = entry.payload
    if isinstance(payload, str):
        return ("container started", None) if payload.startswith(STARTING) else None
    if isinstance(record := payload.get("timeline"), dict):
        ready = record.get("ready")
        return (f"ready {ready:.0f} s after its start" if isinstance(ready, int | float) else "ready", 1.0)
    if not isinstance(now := payload.get("progress"), dict):
        return None
    done, total = now.get("bytes_done"), now.get("bytes_total")
    if not (isinstance(done, int | float) and isinstance(total, int | float) and total > 0):
        return None
    left = now.get("eta_s")
    more = f", about {left:.0f} s to go" if isinstance(left, int | float) else ""
    return f"loaded {done / 1e9:.1f} of {total / 1e9:.1f} GB{more}", min(1.0, max(0.0, done / total))
