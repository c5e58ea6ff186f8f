"""Owns the container's log lines: one JSON object each on stdout, as Cloud Logging reads them. No prompt comes here unasked."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from typing import Any

_writing = threading.Lock()


def write(severity: str, message: str, **fields: Any) -> None:
    """One line. Keys with dots, as Cloud Logging's own, come as `**{"logging.googleapis.com/trace": ...}`."""
    time = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"severity": severity, "message": message, "time": time, **fields}, ensure_ascii=False)
    # Text of a client may have a lone surrogate, which no UTF-8 has.
    clean = line.encode("utf-8", "backslashreplace").decode("utf-8")
    with _writing:
        sys.stdout.write(clean + "\n")
        sys.stdout.flush()


def last(line: str) -> None:
    """The line after which no other comes: whoever writes later waits for the end of the process."""
    _writing.acquire()
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
