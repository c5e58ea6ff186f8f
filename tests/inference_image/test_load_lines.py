"""The lines that tell how far a load is."""

from __future__ import annotations

from typing import Any

from inference_image.server.loading import EVERY, Told
from inference_image.timeline import Timeline


def test_a_long_load_is_told_every_few_seconds() -> None:
    """Nothing before bytes arrive, nothing for a short load, one line for each interval, none when all are there."""
    now, lines = [0.0], []

    def write(severity: str, message: str, **fields: Any) -> None:
        lines.append((severity, message, fields["progress"]["bytes_done"]))

    timeline = Timeline(clock=lambda: now[0], began=0.0)
    told = Told(timeline, write, lambda: now[0])
    timeline.bytes_total = 8_600_000_000
    for seconds, done in ((EVERY, 0), (0.0, 1_000_000_000), (1.0, 2_000_000_000), (EVERY, 3_200_000_000), (EVERY, 8_600_000_000)):
        now[0] += seconds
        timeline.bytes_done = done
        told.look()
        told.look()
    assert lines == [("INFO", "loaded 1.0 of 8.6 GB", 1_000_000_000), ("INFO", "loaded 3.2 of 8.6 GB", 3_200_000_000)]
