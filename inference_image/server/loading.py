"""Owns the lines that tell how far a load is, for whoever watches the log from outside. Knows no weights."""

from __future__ import annotations

import time
from collections.abc import Callable

from inference_image.server import log
from inference_image.timeline import Timeline

EVERY = 5.0
"""Seconds between two lines: a load that is over sooner writes none."""


class Told:
    """Asked again and again by the server's main loop; a line is due when weights are on their way."""

    def __init__(
        self, timeline: Timeline, write: Callable[..., None] = log.write, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeline, self._write, self._clock = timeline, write, clock
        self._due = clock() + EVERY

    def look(self) -> None:
        """Write the line that is due, if one is."""
        done, total = self._timeline.bytes_done, self._timeline.bytes_total
        if not 0 < done < total or self._clock() < self._due:
            return
        self._due = self._clock() + EVERY
        self._write("INFO", f"loaded {done / 1e9:.1f} of {total / 1e9:.1f} GB", progress=self._timeline.progress())
