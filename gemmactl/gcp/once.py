"""A value made at first use, by one thread. Knows no kind of value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_MAKING: Final = threading.RLock()
"""One for all: making a client imports its package, and the google packages share modules that import in circles."""


class Once(Generic[T]):
    """`Once(make)()` is always the same value. What `make` raises is not remembered.

    `asks`: making it is a call over the network; then only those who want this very value wait for it.
    """

    def __init__(self, make: Callable[[], T], *, asks: bool = False) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = threading.RLock() if asks else _MAKING

    def __call__(self) -> T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]
