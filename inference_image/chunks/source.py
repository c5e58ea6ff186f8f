"""Owns the interfaces between who has bytes and who wants them, and how patiently a read goes on. Standard library only."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from inference_image.chunks.pulse import Pulse


@dataclass(frozen=True)
class Object:
    """One file of a model. `generation` pins its content; `crc32c` is what the store says of it, None when it says nothing."""

    name: str
    size: int
    generation: str
    crc32c: int | None = None


NOWHERE = -1


class Job(NamedTuple):
    """Bytes [begin, end) of an object go to memory from offset `to` on, or NOWHERE: only their sum is wanted.

    `till`: one request may go on to there, because jobs for what follows will come; 0: nothing follows.
    """

    number: int
    object: str
    begin: int
    end: int
    to: int
    till: int = 0


class Done(NamedTuple):
    """A job that is over: all its bytes are in place, and this is their CRC-32C."""

    number: int
    crc: int


class Sink(Protocol):
    """Where the bytes of one object go. Each call of Source.read uses a sink from one thread."""

    def buffer(self, offset: int, most: int) -> memoryview:
        """Writable memory for 1 to `most` bytes of the object from byte `offset` on: bytes are received straight into it."""

    def wrote(self, offset: int, count: int) -> None:
        """`count` bytes from `offset` on are in place. Each byte of a range is reported once, in order."""


class Source(Protocol):
    """A place where a model's objects are."""

    @property
    def uri(self) -> str:
        """The place, as the user wrote it."""

    @property
    def pulse(self) -> Pulse:
        """What is learnt of its connections while they read."""

    def list(self) -> tuple[Object, ...]:
        """The objects directly in the model's folder, by name; a hub's also those in its folder `gemmactl/`.

        Raises LoadFailed(model_not_found, access_denied, network_failed).
        """

    def read(self, object: Object, begin: int, end: int, sink: Sink) -> None:  # noqa: A002 - the field's own word
        """Put bytes [begin, end) of exactly this generation into the sink. Safe from many threads.

        Raises LoadFailed: shard_missing, access_denied, object_changed, shard_truncated, network_failed.
        """


@dataclass(frozen=True)
class Patience:
    """How often, how long and on which clock a read is tried again.

    `stall` is the longest silence of a connection in seconds; a lower one is derived from how silent connections have been
    in this very load (chunks/pulse.py), never below `least`.
    """

    attempts: int = 8
    first: float = 0.25
    longest: float = 8.0
    stall: float = 15.0
    least: float = 0.25
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)

    def wait(self, failures: int, retry_after: float = 0.0) -> None:
        """Full jitter: many instances that fail together must not come back together."""
        ceiling = min(self.longest, self.first * 2.0 ** (failures - 1))
        self.sleep(max(min(retry_after, self.longest), ceiling * self.jitter()))


class Buffer:
    """A sink for `size` bytes of an object from byte `begin` on, in memory."""

    def __init__(self, size: int, begin: int = 0) -> None:
        self.data = bytearray(size)
        self._begin = begin

    def buffer(self, offset: int, most: int) -> memoryview:
        at = offset - self._begin
        return memoryview(self.data)[at : at + most]

    def wrote(self, offset: int, count: int) -> None:
        """Nothing to do: the bytes are where they belong."""
