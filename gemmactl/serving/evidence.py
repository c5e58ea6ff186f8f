"""What a service's own log and conditions say about why it does not serve. Makes read calls only; judges nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gemmactl.errors import Trouble
from gemmactl.resources.cloud import LogEntry
from gemmactl.serving.place import Place
from inference_image.contract import LoadFailure


def stamp(moment: datetime) -> str:
    """A time as Cloud Logging compares it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def query(place: Place, name: str, *more: str) -> str:
    """The filter for what a service's containers and Cloud Run wrote about it."""
    parts = (
        'resource.type="cloud_run_revision"',
        f'resource.labels.service_name="{name}"',
        f'resource.labels.location="{place.region.text}"',
        *more,
    )
    return " AND ".join(parts)


def text_of(entry: LogEntry) -> str:
    """The words of an entry; a JSON payload as its message."""
    if isinstance(entry.payload, str):
        return entry.payload
    message = entry.payload.get("message")
    return str(message) if message else json.dumps(entry.payload, ensure_ascii=False)


def start(place: Place, name: str, since: str = "", limit: int = 100) -> tuple[LogEntry, ...]:
    """What was written since the last time a container became ready, oldest first: an older failure is healed."""
    more = [f'timestamp>="{since}"'] if since else []
    entries = place.cloud.logs.entries(query(place, name, *more), newest=True, limit=limit)
    readies = [at for at, entry in enumerate(entries) if isinstance(entry.payload, dict) and "timeline" in entry.payload]
    return entries[readies[-1] + 1 :] if readies else entries


def load_failure(entries: tuple[LogEntry, ...]) -> LoadFailure | None:
    """The last word of the server about its model, if it is one of failure."""
    found = [LoadFailure.parse(e.payload) for e in entries if isinstance(e.payload, dict)]
    return next((failure for failure in reversed(found) if failure), None)


def facts(failure: LoadFailure) -> dict[str, object]:
    """A load failure as the facts that doctor reads."""
    return {"load_failed": {"code": str(failure.code), "object": failure.object, "detail": failure.detail}}


@dataclass(frozen=True)
class Watch:
    """Looks, while a service wakes, whether its container died since the watch began."""

    place: Place
    name: str
    since: str = field(default_factory=lambda: stamp(datetime.now(UTC)))

    def death(self) -> Trouble | None:
        """Why it died, in its own words; None while nothing is known, also when the caller may not read logs."""
        try:
            failure = load_failure(start(self.place, self.name, self.since))
        except Trouble:
            return None
        if failure is None:
            return None
        return Trouble(
            f"{self.name} can't load its model",
            why=f"{failure.code}: {failure.object}: {failure.detail}",
            remedy=f"gemmactl doctor {self.name} --fix {self.place.flags}",
            code="load-failed",
            facts={**facts(failure), "service": self.name},
        )


def clean(text: str) -> str:
    """Text from outside for a terminal: one line, no escape sequences."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.splitlines()))
