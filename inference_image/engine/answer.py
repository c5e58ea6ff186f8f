"""Owns one answer on its way from the engine's thread to whoever waits for it, on an event loop or on a thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

from inference_image.engine.request import Piece


class Answer:
    """A cancellable stream of pieces: `async for` on an event loop, `for` on a thread. It has one reader."""

    def __init__(self, on_cancel: Callable[[Answer], None]) -> None:
        self._on_cancel = on_cancel
        self._changed = threading.Condition()
        self._pieces: deque[Piece | BaseException] = deque()
        self._wake: Callable[[], None] | None = None
        self._ended = False
        self.cancelled = False

    def cancel(self) -> None:
        """Ask the engine to stop; the last piece says `cancelled`. Harmless after the end and when called twice."""
        self.cancelled = True
        self._on_cancel(self)

    def put(self, piece: Piece | BaseException) -> None:
        """The engine's side: a piece, or the failure that ends the answer. Nothing is taken in after the end."""
        with self._changed:
            if self._ended:
                return
            self._ended = isinstance(piece, BaseException) or piece.stop_reason is not None
            self._pieces.append(piece)
            self._changed.notify_all()
            wake = self._wake
        if wake is not None:
            wake()

    def __iter__(self) -> Iterator[Piece]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces)
                piece = self._pieces.popleft()
            yield _piece(piece)
            if _last(piece):
                return

    async def __aiter__(self) -> AsyncIterator[Piece]:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(came.set)
            except RuntimeError:  # the loop was closed while the engine still computed: nobody waits any more
                return

        with self._changed:
            self._wake = wake
        while True:
            came.clear()
            with self._changed:
                waiting = list(self._pieces)
                self._pieces.clear()
            for piece in waiting:
                yield _piece(piece)
                if _last(piece):
                    return
            if not waiting:
                await came.wait()


def _piece(piece: Piece | BaseException) -> Piece:
    if isinstance(piece, BaseException):
        raise piece
    return piece


def _last(piece: Piece | BaseException) -> bool:
    return isinstance(piece, Piece) and piece.stop_reason is not None
