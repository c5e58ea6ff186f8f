"""Cloud Logging: entries appended to one file, listed with the filters that gemmactl sends. Knows no resource."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from gemmactl.sandbox.log_filter import matcher
from gemmactl.sandbox.store import Document

KEEP: Final = 50_000
"""Entries that a restart keeps."""


class Logs:
    """Written in order, read by filter."""

    def __init__(self, file: Path, project: str, now: Callable[[], datetime]) -> None:
        self._file = file
        self._project = project
        self._now = now
        self._lock = threading.Lock()
        self._entries = [json.loads(line) for line in _whole_lines(file)]
        self._out = file.open("a", encoding="utf-8")

    def write(
        self,
        log_name: str,
        resource_type: str,
        labels: Mapping[str, str],
        payload: str | Mapping[str, Any],
        severity: str = "DEFAULT",
        *,
        entry_labels: Mapping[str, str] | None = None,
    ) -> None:
        """Append one entry. `log_name` may be short: `run.googleapis.com/stderr`, `cloudbuild`.

        `labels` are the monitored resource's (service_name, build_id...), `entry_labels` the entry's own.
        """
        full = log_name if log_name.startswith("projects/") else f"projects/{self._project}/logs/{quote(log_name, safe='')}"
        with self._lock:
            stamp = self._now().isoformat().replace("+00:00", "Z")
            entry: Document = {
                "insertId": uuid.uuid4().hex,
                "logName": full,
                "resource": {"type": resource_type, "labels": {"project_id": self._project, **labels}},
                "timestamp": stamp,
                "receiveTimestamp": stamp,
                "severity": severity,
                "labels": dict(entry_labels or {}),
            }
            entry["textPayload" if isinstance(payload, str) else "jsonPayload"] = (
                payload if isinstance(payload, str) else dict(payload)
            )
            self._entries.append(entry)
            self._out.write(json.dumps(entry) + "\n")
            self._out.flush()

    def entries(self, filter_text: str, *, newest_first: bool = False) -> list[Document]:
        """The entries that match, oldest first unless asked.

        Raises:
            ApiError: 400 for a filter that this sandbox does not understand.
        """
        wanted = matcher(filter_text)
        with self._lock:
            found = [entry for entry in self._entries if wanted(entry)]
        return found[::-1] if newest_first else found

    def close(self) -> None:
        with self._lock:
            self._out.close()


def _whole_lines(file: Path) -> list[str]:
    """The newest lines that were written to their end; a kill can leave half of the last one, which is cut off."""
    if not file.exists():
        return []
    whole, _, rest = file.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    lines = whole.split("\n") if whole else []
    if rest or len(lines) > KEEP:
        lines = lines[-KEEP:]
        scratch = file.with_suffix(".tmp")
        scratch.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        scratch.replace(file)
    return lines
