"""How long a start may take, from the size of the weights. Knows no cloud and no file."""

from __future__ import annotations

import math
from typing import Final

from gemmactl.spec import Probe
from inference_image.contract import DEFAULT_PORT, ROUTE_READY

BASE: Final = 30.0
"""Seconds for the container, the driver and the imports."""
RATE: Final = 100e6
"""Bytes per second that any region's bucket delivers to an instance; a tenth of what is usual."""
SLACK: Final = 3.0
LONGEST: Final = 1800
"""Seconds that period times threshold may come to with a GPU (Cloud Run, "Configure container health checks")."""
PERIOD: Final = 2
UNKNOWN: Final = 600
"""Seconds when the size can't be known before the start (hf: models)."""


def seconds(size: int | None) -> int:
    """(30 + bytes / 100 MB/s) x 3, at most 1800; 600 when the size is not known."""
    if size is None:
        return UNKNOWN
    return min(LONGEST, math.ceil((BASE + size / RATE) * SLACK))


def probe(size: int | None, port: int = DEFAULT_PORT) -> Probe:
    """The startup probe for weights of `size` bytes: HTTP on /ready, every 2 s.

    A short period finds readiness early (a 10 s one wastes 5 s of a paid GPU on average), and with HTTP only the number of
    failures makes it patient: an attempt on a closed port ends at once.
    """
    return Probe(path=ROUTE_READY, port=port, timeout=PERIOD, period=PERIOD, failures=math.ceil(seconds(size) / PERIOD))
