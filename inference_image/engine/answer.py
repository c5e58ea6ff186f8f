"""Owns answers on their way from the engine's thread to whoever waits for them, on an event loop or on a thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

from inference_image.engine.request import Piece


class Bell:
    """Wakes readers on event loops once a step, all together: a call into a loop for each of many answers costs more than a step.

    Used by the engine's thread alone.
    """

    def __init__(self) -> None:
        self._rung: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = {}

    def ring(self, loop: asyncio.AbstractEventLoop, came: asyncio.Event) -> None:
        """Something came for the reader that waits for this event."""
        self._rung.setdefault(loop, []).append(came)

    def flush(self) -> None:
        """Let them all wake up."""
        rung, self._rung = self._rung, {}
        for loop, events in rung.items():
            _wake(loop, events)


def _wake(loop: asyncio.AbstractEventLoop, events: list[asyncio.Event]) -> None:
    def set_all() -> None:
        for came in events:
            came.set()

    with suppress(RuntimeError):  # the loop was closed while the engine still computed: nobody waits any more
        loop.call_soon_threadsafe(set_all)


class Answer:
    """A cancellable stream of pieces: `async for` on an event loop, `for` on a thread. It has one reader.

    What a slow reader leaves here is bounded by its own max_tokens.
    """

    def __init__(self, on_cancel: Callable[[Answer], None], bell: Bell | None = None) -> None:
        self._on_cancel = on_cancel
        self._bell = bell
        self._changed = threading.Condition()
        self._pieces: deque[Piece | BaseException] = deque()
        self._reader: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._ended = False
        self.cancelled = False

    def cancel(self) -> None:
        """Ask the engine to stop; the last piece says `cancelled`. Harmless after the end and when called twice."""
        self.cancelled = True
        self._on_cancel(self)

    def put(self, piece: Piece | BaseException, *, now: bool = False) -> None:
        """A piece, or the failure that ends the answer. Nothing is taken in after the end.

        `now`: called by another thread than the engine's, which does not wait for the bell.
        """
        with self._changed:
            if self._ended:
                return
            self._ended = isinstance(piece, BaseException) or piece.stop_reason is not None
            self._pieces.append(piece)
            reader = self._reader
            if reader is None:
                self._changed.notify()
        if reader is None:
            return
        if self._bell is not None and not now:
            self._bell.ring(*reader)
        else:
            _wake(reader[0], [reader[1]])

    def __iter__(self) -> Iterator[Piece]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces)
                piece = self._pieces.popleft()
            yield _piece(piece)
            if _last(piece):
                return

    async def __aiter__(self) -> AsyncIterator[Piece]:
        came = asyncio.Event()
        with self._changed:
            self._reader = (asyncio.get_running_loop(), came)
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
