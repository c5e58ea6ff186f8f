"""Codes of failures that only follow from another one. Knows no cause: a row that is one names these as explained."""

from __future__ import annotations

from typing import Final

NOT_STARTED: Final = (
    "probe-failed",
    "probe-timeout",
    "probe-timeout-longest",
    "port-not-opened",
    "container-exit",
    "job-failed",
)
"""What Cloud Run says of a container that ended before it served."""
NO_ENGINE: Final = (*NOT_STARTED, "engine-failed")
"""The same, and what the engine in it says of itself."""
UNNAMED_DENIALS: Final = (
    "caller-denied",
    "call-policy",
    "call-gcloud",
    "call-terraform",
    "call-library",
    "call-url",
    "call-audit",
)
"""Denials without a permission's name; they only repeat a status where an API, billing or a perimeter is the reason."""
