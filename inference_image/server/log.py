"""Owns the container's log lines: one JSON object each on stdout, as Cloud Logging reads them. Prompts never come here."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

_writing = threading.Lock()


def write(severity: str, message: str, **fields: Any) -> None:
    line = json.dumps({"severity": severity, "message": message, **fields}, ensure_ascii=False)
    with _writing:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
