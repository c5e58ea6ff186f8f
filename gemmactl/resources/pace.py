"""How often a long operation is looked at: soon at first, then every few seconds. Knows no operation."""

from __future__ import annotations

from collections.abc import Iterator


def pauses(first: float = 0.25, factor: float = 1.4, longest: float = 3.0) -> Iterator[float]:
    """Seconds to wait, without end."""
    pause = first
    while True:
        yield pause
        pause = min(pause * factor, longest)
