"""From a container's output to log entries: JSON lines, plain lines, Python tracebacks as one entry. Knows no process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO, Final

Entry = str | dict[str, Any]
Write = Callable[[Entry, str], None]
_BEGIN: Final = "Traceback (most recent call last):"
_SEVERITIES: Final = {"DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"}
_LONGEST: Final = 256 << 10


def pump(stream: BinaryIO, write: Write) -> None:
    """Read lines until the stream ends and write each as an entry."""
    held: list[str] = []

    def flush() -> None:
        if held:
            write("\n".join(held), "ERROR")
            held.clear()

    for raw in iter(lambda: stream.readline(_LONGEST), b""):
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line == _BEGIN:
            flush()
        if line == _BEGIN or (held and (line.startswith((" ", "\t")) or not line)):
            held.append(line)
            continue
        if held:  # the exception's own line ends a traceback
            held.append(line)
            flush()
            continue
        if line:
            write(*parsed(line))
    flush()


def parsed(line: str) -> tuple[Entry, str]:
    """A JSON object becomes the JSON payload, its `severity` the entry's, as Cloud Logging does."""
    if line.startswith("{"):
        try:
            payload = json.loads(line)
        except ValueError:
            return line, "DEFAULT"
        if isinstance(payload, dict):
            severity = str(payload.pop("severity", "DEFAULT")).upper()
            return payload, severity if severity in _SEVERITIES else "DEFAULT"
    return line, "DEFAULT"
