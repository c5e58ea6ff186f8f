"""Owns answers on their way from the engine's thread to whoever waits for them, on an event loop or on a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias, cast

from inference_image.engine.request import Piece

Waiter: TypeAlias = "asyncio.Future[None]"
"""Of one reader, for one wait."""

MANY: Final = 16
"""Readers beyond which pauses are twice as long: what their events take from the engine's steps grows with their number."""


class Bell:
    """Wakes readers on event loops once a step, all together: a call into a loop for each of many answers costs more than a step.

    Used by the engine's thread alone, but for its `pauses`.
    """

    def __init__(self) -> None:
        self._rung: dict[asyncio.AbstractEventLoop, list[Waiter]] = {}
        self.pauses = Pauses()

    def ring(self, loop: asyncio.AbstractEventLoop, waiter: Waiter) -> None:
        """Something came for the reader that waits for this."""
        self._rung.setdefault(loop, []).append(waiter)

    def flush(self) -> None:
        """Let them all wake up."""
        rung, self._rung = self._rung, {}
        for loop, waiters in rung.items():
            _wake(loop, waiters)


class Pauses:
    """One timer for all readers of a loop that pause until the same moment. Used on the readers' loops."""

    def __init__(self) -> None:
        self._ends: dict[tuple[asyncio.AbstractEventLoop, float], list[Waiter]] = {}
        self._together = 0
        """How many were woken together last."""

    def end(self, now: float, pause: float) -> float:
        """When a pause of this length ends: at a multiple of it, of twice as much while many readers are woken together."""
        length = pause * 2 if self._together > MANY else pause
        return (now // length + 1) * length

    def until(self, loop: asyncio.AbstractEventLoop, due: float, waiter: Waiter) -> None:
        """Wake it up then, unless it is awake already."""
        waiting = self._ends.get((loop, due))
        if waiting is None:
            waiting = self._ends[loop, due] = []
            loop.call_at(due, self._end, loop, due)
        waiting.append(waiter)

    def _end(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        waiters = self._ends.pop((loop, due))
        self._together = len(waiters)
        _set(waiters)


def _set(waiters: Iterable[Waiter]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _wake(loop: asyncio.AbstractEventLoop, waiters: list[Waiter]) -> None:
    with suppress(RuntimeError):  # the loop was closed while the engine still computed: nobody waits any more
        loop.call_soon_threadsafe(_set, waiters)


class Answer:
    """A cancellable stream of pieces: `async for` on an event loop, `for` on a thread. It has one reader.

    What a slow reader leaves here is bounded by its own max_tokens.
    """

    def __init__(self, on_cancel: Callable[[Answer], None], bell: Bell | None = None) -> None:
        self._on_cancel = on_cancel
        self._bell = bell
        self._pauses = bell.pauses if bell is not None else Pauses()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pieces: deque[Piece | BaseException] = deque()
        self._reader: tuple[asyncio.AbstractEventLoop, Waiter] | None = None
        self._at_end = False
        self._ended = False
        self.cancelled = False
        self.began: float | None = None
        """When its first piece came, of time.monotonic()."""

    def cancel(self) -> None:
        """Ask the engine to stop; the last piece says `cancelled`. Harmless after the end and when called twice."""
        self.cancelled = True
        self._on_cancel(self)

    def put(self, piece: Piece | BaseException, *, now: bool = False) -> None:
        """A piece, or the failure that ends the answer. Nothing is taken in after the end.

        `now`: called by another thread than the engine's, which does not wait for the bell.
        """
        with self._lock:
            if self._ended:
                return
            if self.began is None:
                self.began = time.monotonic()
            self._ended = isinstance(piece, BaseException) or piece.stop_reason is not None
            self._pieces.append(piece)
            self._changed.notify()
            reader = self._reader if self._ended or not self._at_end else None
            if reader is None:
                return
            self._reader = None
        if self._bell is not None and not now:
            self._bell.ring(*reader)
        else:
            _wake(reader[0], [reader[1]])

    def __iter__(self) -> Iterator[Piece]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces)
                piece = self._pieces.popleft()
            if isinstance(piece, BaseException):
                raise piece
            yield piece
            if piece.stop_reason is not None:
                return

    async def __aiter__(self) -> AsyncIterator[Piece]:
        async for batch in self.batches():
            for piece in batch:
                yield piece

    async def batches(self, pause: float = 0.0) -> AsyncIterator[list[Piece]]:
        """What has come since the last look, one piece or many. `pause` seconds lie between two looks, less after the first and
        before the last.

        A reader that works or pauses is not woken: to wake it costs more than a token. Pauses end on multiples of their length,
        so that all readers of a loop look in one turn of it: each turn of its own would take Python's lock from the engine. With
        MANY readers they are twice as long.
        """
        loop = asyncio.get_running_loop()
        while True:
            ended = self._ended  # before the look: an end that comes behind it is found by the next one
            pieces, failure = self._take()
            due = self._pauses.end(loop.time(), pause) if pause else 0.0
            if pieces:
                yield pieces
                if pieces[-1].stop_reason is not None:
                    return
            if failure is not None:
                raise failure
            if not pieces and ended:
                return
            if pieces and due <= loop.time():
                continue
            waiter = loop.create_future()
            if self._call(loop, waiter, at_end=bool(pieces)):
                if pieces:
                    self._pauses.until(loop, due, waiter)
                await waiter

    async def whole(self) -> list[Piece]:
        """All pieces, once the last one is there; nobody is woken before."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        if self._call(loop, waiter, at_end=True):
            await waiter
        pieces, failure = self._take()
        if failure is not None:
            raise failure
        return pieces

    def _take(self) -> tuple[list[Piece], BaseException | None]:
        """What waits, and the failure that came behind it: nothing comes after one."""
        with self._lock:
            self._reader = None
            waiting = list(self._pieces)
            self._pieces.clear()
        failure = waiting.pop() if waiting and isinstance(waiting[-1], BaseException) else None
        return cast("list[Piece]", waiting), cast("BaseException | None", failure)

    def _call(self, loop: asyncio.AbstractEventLoop, waiter: Waiter, *, at_end: bool) -> bool:
        """Wants `waiter` to be set for the next piece, or only for the last; False when there is no need to wait."""
        with self._lock:
            if self._ended or (self._pieces and not at_end):
                return False
            self._reader, self._at_end = (loop, waiter), at_end
            return True
