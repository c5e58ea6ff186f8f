"""How a stream's parts become writes."""

from __future__ import annotations

import asyncio
from typing import Any

from inference_image.server.connection import OneWrite


class Wire:
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def test_what_one_turn_writes_is_one_write() -> None:
    """In order, before the loop goes on; nothing is written for nothing, and all else is the transport's own."""

    async def run() -> list[Any]:
        wire = Wire()
        one: Any = OneWrite(wire, asyncio.get_running_loop())  # type: ignore[arg-type]  # all of it that is used
        for part in (b"head", b"", b"body"):
            one.write(part)
        assert wire.done == []
        await asyncio.sleep(0)
        one.write(b"")
        await asyncio.sleep(0)
        one.write(b"end")
        await asyncio.sleep(0)
        assert one.get_extra_info("peer") == "the peer"
        return wire.done

    assert asyncio.run(run()) == [b"headbody", b"end"]


def test_a_close_sends_what_waits_and_an_abort_does_not() -> None:
    """An answer's end and its close come in one turn."""

    async def run() -> list[list[Any]]:
        closed, aborted = Wire(), Wire()
        for wire, end in ((closed, "close"), (aborted, "abort")):
            one = OneWrite(wire, asyncio.get_running_loop())  # type: ignore[arg-type]  # all of it that is used
            one.write(b"last")
            getattr(one, end)()
        await asyncio.sleep(0)
        return [closed.done, aborted.done]

    assert asyncio.run(run()) == [[b"last", "close"], ["abort"]]
