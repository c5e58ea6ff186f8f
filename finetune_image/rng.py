"""Owns the state of every generator of random numbers in this process. Imports no library: what isn't loaded has no state.

A run that was interrupted ends with the same weights only if its dropout goes on where it was.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def seed(number: int) -> None:
    """Begin anew, everywhere."""
    random.seed(number)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(number)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(number)  # every device's


def state() -> dict[str, Any]:
    """Where all of them are now."""
    found: dict[str, Any] = {"python": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        found["numpy"] = numpy.random.get_state()
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def go_back(to: dict[str, Any]) -> None:
    """Go on from a state."""
    random.setstate(to["python"])
    if "numpy" in to:
        sys.modules["numpy"].random.set_state(to["numpy"])
    if "torch" in to:
        sys.modules["torch"].set_rng_state(to["torch"])
    if "cuda" in to:
        sys.modules["torch"].cuda.set_rng_state_all(to["cuda"])


@contextmanager
def untouched() -> Iterator[None]:
    """What happens inside draws numbers (a DataLoader does when it begins) that nobody outside notices."""
    before = state()
    try:
        yield
    finally:
        go_back(before)
