"""Lines of a build's log, from Cloud Logging. Knows no build status."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Cloud, LogEntry

LATE: Final = timedelta(seconds=10)
PAGE: Final = 5000
"""More lines than a build writes within LATE and one look."""


def query(project: str, build_id: str) -> str:
    """The filter that finds one build's lines."""
    return f'logName="projects/{project}/logs/cloudbuild" AND resource.type="build" AND resource.labels.build_id="{build_id}"'


def text(entry: LogEntry) -> str:
    """An entry as one line."""
    return entry.payload if isinstance(entry.payload, str) else str(entry.payload.get("message", entry.payload))


@dataclass
class Lines:
    """Remembers what was shown: entries arrive late and twice."""

    project: str
    build_id: str
    since: str = ""
    """Time of the newest line; what may have come in late before it is read again."""
    seen: set[str] = field(default_factory=set)

    def fresh(self, cloud: Cloud) -> tuple[str, ...]:
        """Lines that are new; none while the log can't be read: a build goes on without its log."""
        window = f' AND timestamp>="{_before(self.since)}"' if self.since else ""
        try:
            entries = cloud.logs.entries(query(self.project, self.build_id) + window, limit=PAGE)
        except Trouble:
            return ()
        new = [e for e in entries if (e.insert_id or f"{e.timestamp} {text(e)}") not in self.seen]
        self.seen |= {e.insert_id or f"{e.timestamp} {text(e)}" for e in new}
        self.since = max((e.timestamp for e in entries), default=self.since)
        return tuple(text(e) for e in new)


def _before(moment: str) -> str:
    """So long after its time a line may come in."""
    try:
        at = datetime.fromisoformat(moment).astimezone(UTC) - LATE
    except ValueError:
        return moment
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def tail(cloud: Cloud, project: str, build_id: str, limit: int = 40) -> tuple[str, ...]:
    """The last lines; none when the log can't be read."""
    try:
        return tuple(text(e) for e in cloud.logs.entries(query(project, build_id), newest=True, limit=limit))
    except Trouble:
        return ()
