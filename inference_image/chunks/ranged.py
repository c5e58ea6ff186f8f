"""Owns a ranged read that goes on where it broke off: silence, slowness, breaks, refusals that pass. Knows no store's API."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from http.client import HTTPException, HTTPResponse
from typing import Final

from inference_image.chunks.pulse import Pulse
from inference_image.chunks.response import Response
from inference_image.chunks.silence import Silence
from inference_image.chunks.source import Object, Patience, Sink
from inference_image.chunks.wire import STEP, Transient, persist
from inference_image.contract import Code, LoadFailed

_MOST_BREAKS: Final = 64
_LEG: Final = 8 << 20
"""Bytes whose time is compared with that of others."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Get = Callable[[int, int, Silence], AbstractContextManager[Response]]
"""Asks for bytes [begin, end); the answer may let wait for itself as long as may be silence."""


def read_range(
    get: Get,
    object: Object,  # noqa: A002 - see Source
    begin: int,
    end: int,
    sink: Sink,
    patience: Patience,
    pulse: Pulse,
) -> None:
    """Bytes [begin, end) into the sink; after a break the next request starts where the last byte arrived.

    Only tries without any progress count as failures in a row. Raises LoadFailed.
    """
    range_ = _Range(get, object, begin, end, sink, pulse)
    breaks = 0

    def go_on() -> None:
        nonlocal breaks
        while range_.at < end:
            came = range_.at
            try:
                range_.request()
            except (Transient, OSError, HTTPException) as error:
                pulse.count(_kind(error))
                breaks += 1
                if range_.at == came or breaks > _MOST_BREAKS:
                    raise
                if not isinstance(error, TimeoutError | _Slow):
                    patience.wait(1)

    persist(go_on, object.name, patience)


class _Slow(Transient):
    """A request that goes on far longer than others did."""


def _kind(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "stall"
    if isinstance(error, _Slow):
        return "slow"
    return "retry" if isinstance(error, Transient) else "broken"


class _Range:
    """One range under way: how far it is, and how often it was given up."""

    def __init__(self, get: Get, one: Object, begin: int, end: int, sink: Sink, pulse: Pulse) -> None:
        self._get, self._object, self._sink, self._pulse = get, one, sink, pulse
        self.at, self._end = begin, end
        self._strikes = 0

    def request(self) -> None:
        """One request for the rest. Raises Transient, OSError or HTTPException with `at` where it ended."""
        first, began = self.at, time.monotonic()
        leg = _Leg(self._pulse, first, began)
        try:
            with self._get(first, self._end, self._silence) as response:
                check_range(response, self._object, first, self._end)
                response.begin_body()
                self._pulse.silent(time.monotonic() - began)
                # One thread at a time: sixteen that take Python's lock for every TLS record spend more time on handing it
                # over than on the bytes.
                turn = self._pulse.turn if response.in_python else nullcontext()
                while self.at < self._end:
                    before = time.monotonic()
                    room = self._sink.buffer(self.at, min(self._end - self.at, STEP))  # waits until there is some
                    leg.waited += time.monotonic() - before
                    leg.silent(response.wait(self._silence))
                    with turn:
                        self._drain(response, room)
                    if leg.look(self.at, self._end, self._strikes):
                        self._strikes = 0
                response.read()  # the empty rest: lets the connection be used again
        except TimeoutError:
            self._pulse.silent(self._silence())  # where many are, they are how this store is
            self._strikes += 1
            raise
        except _Slow:
            self._strikes += 1
            raise

    def _silence(self) -> float:
        return self._pulse.silence(self._strikes)

    def _drain(self, response: Response, room: memoryview) -> None:
        """What has come, as much as there is room for. Raises Transient when that is the end, and what Response raises."""
        try:
            filled = response.receive(room)
        except EOFError:
            raise Transient(f"the connection ended at byte {self.at} of {self._end}") from None
        if filled:
            self._sink.wrote(self.at, filled)
            self.at += filled


class _Leg:
    """A stretch of one request, whose time tells whether it is a straggler: a long request is judged before its end."""

    def __init__(self, pulse: Pulse, at: int, began: float) -> None:
        self._pulse, self._at, self._began = pulse, at, began
        self.waited = 0.0
        """Seconds in which there was no room for more: those of nobody's slowness."""
        self._longest = 0.0

    def silent(self, seconds: float) -> None:
        self._longest = max(self._longest, seconds)

    def look(self, at: int, end: int, strikes: int) -> bool:
        """The request is at byte `at` of `end`. Is a stretch over with that? Raises _Slow."""
        now = time.monotonic()
        seconds, size = now - self._began - self.waited, at - self._at
        if at == end or size >= _LEG:
            self._pulse.silent(self._longest)
            self._pulse.finished(seconds, size)
            self._at, self._began, self.waited, self._longest = at, now, 0.0, 0.0
            return True
        if seconds > self._pulse.slowness(min(_LEG, end - self._at), strikes):
            raise _Slow(f"{size} bytes in {seconds:.0f} s")
        return False


def check_range(response: HTTPResponse, object: Object, begin: int, end: int) -> None:  # noqa: A002 - see Source
    """The answer must be exactly the range that was asked for, of an object of the size that was listed."""
    if response.status == 200 and begin == 0 and end == object.size:
        length = response.getheader("Content-Length")
        if length not in {None, str(end)}:
            raise LoadFailed(Code.OBJECT_CHANGED, object.name, f"it has {length} bytes, listed were {end}")
        return
    found = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range", ""))
    if response.status != 206 or found is None:
        raise Transient(f"asked for bytes {begin}-{end - 1}, got status {response.status} without such a Content-Range")
    first, last, size = (int(number) for number in found.groups())
    if size != object.size:
        raise LoadFailed(Code.OBJECT_CHANGED, object.name, f"it has {size} bytes, listed were {object.size}")
    if (first, last) != (begin, end - 1):
        raise Transient(f"asked for bytes {begin}-{end - 1}, got {first}-{last}")
