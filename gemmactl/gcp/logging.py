"""Cloud Logging: entries that match a filter. Its client has no REST transport, so this is plain REST."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.gcp.wire import Wire
from gemmactl.resources.cloud import LogEntry

API: Final = "logging.googleapis.com"
PAGE: Final = 1000


class CloudLogging:
    """Implements `cloud.Logs`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def entries(self, query: str, *, newest: bool = False, limit: int = 100) -> tuple[LogEntry, ...]:
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{self._wire.project}"],
            "filter": query,
            "orderBy": "timestamp desc" if newest else "timestamp asc",
        }
        found: list[dict[str, Any]] = []
        page = ""
        while len(found) < limit:
            more = {"pageSize": min(PAGE, limit - len(found)), **({"pageToken": page} if page else {})}
            asked = {**body, **more}

            def ask(asked: Any = asked) -> Any:
                return self._wire.rest(API, "POST", "/v2/entries:list", body=asked)

            answer = self._wire.read(API, "log entries", ask)
            found += answer.get("entries", [])
            page = answer.get("nextPageToken", "")
            if not page:
                break
        entries = tuple(_entry(e) for e in found[:limit])
        return entries[::-1] if newest else entries


def _entry(found: dict[str, Any]) -> LogEntry:
    payload = found.get("textPayload")
    if payload is None:
        payload = found.get("jsonPayload") or found.get("protoPayload") or ""
    return LogEntry(found.get("timestamp", ""), found.get("severity", "DEFAULT"), payload, found.get("insertId", ""), found)
