"""Faults in downloads, for tests of a loader: reset, broken stream, corrupt byte, stall, 503/429. Knows no object."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from gemmactl.sandbox.wire import CutConnection, failed

Kind = Literal["status", "reset", "broken", "corrupt", "stall"]


@dataclass
class StreamFault:
    """`kind` strikes the first `times` downloads whose object name contains `match`, after `after` bytes of the answer."""

    kind: Kind
    match: str = ""
    times: int = 1
    status: int = 503
    after: int = 0
    seconds: float | None = None
    """kind stall: how long; None: until `stall` is set."""
    stall: threading.Event = field(default_factory=threading.Event)


class StreamFaults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[StreamFault] = []
        self.struck: list[tuple[str, str]] = []
        """(kind, object) of every fault that happened."""

    def add(self, fault: StreamFault) -> StreamFault:
        with self._lock:
            self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        """Call off what has not struck; a stalled stream goes on."""
        with self._lock:
            for fault in self._waiting:
                fault.stall.set()
            self._waiting.clear()

    def take(self, name: str) -> StreamFault | None:
        """The fault for this download, if any; counts it down."""
        with self._lock:
            for fault in self._waiting:
                if fault.match in name and fault.times > 0:
                    fault.times -= 1
                    self.struck.append((fault.kind, name))
                    return fault
        return None


def stream_fault_of(document: dict[str, Any]) -> StreamFault:
    """A StreamFault from its JSON.

    Raises:
        ApiError: 400, it is none.
    """
    known = {f.name for f in fields(StreamFault)} - {"stall"}
    if document.get("kind") not in get_args(Kind) or set(document) - known:
        raise failed(
            "INVALID_ARGUMENT", f"a stream fault has a kind of {', '.join(get_args(Kind))} and the fields {sorted(known)}"
        )
    return StreamFault(**document)


def spoiled(body: Iterator[bytes], fault: StreamFault) -> Iterator[bytes]:
    """The same bytes with the fault in them."""
    done = 0
    for piece in body:
        cut = fault.after - done
        done += len(piece)
        if not 0 <= cut < len(piece):
            yield piece
            continue
        yield piece[:cut]
        if fault.kind in ("broken", "reset"):
            raise CutConnection(f"{fault.kind} after {fault.after} bytes")
        if fault.kind == "stall":
            fault.stall.wait(fault.seconds)
            yield piece[cut:]
        else:
            yield bytes([piece[cut] ^ 0xFF]) + piece[cut + 1 :]
