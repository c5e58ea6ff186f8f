"""Owns the wait for a connection that may have fallen silent. Knows no bytes and no reasons.

How long is asked again and again: what other connections have shown meanwhile holds for those that wait already.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Final, Protocol

Silence = Callable[[], float]
"""Seconds in which nothing may come, as of now."""
_LOOK: Final = 0.02


class Connection(Protocol):
    """As much of a socket as poll() takes."""

    def fileno(self) -> int:
        """Its descriptor."""


class Waiting:
    """One connection's: poll() knows it once."""

    def __init__(self, connection: Connection) -> None:
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def until(self, silence: Silence) -> float:
        """Return when there is something to receive; how many seconds that took. Raises TimeoutError."""
        began = time.monotonic()
        while not self._poll.poll(_LOOK * 1000):
            if (waited := time.monotonic() - began) > silence():
                raise TimeoutError(f"nothing came for {waited:.1f} s")
        return time.monotonic() - began
