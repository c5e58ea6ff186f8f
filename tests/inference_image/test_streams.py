"""Answers as events: clients that leave or read slowly, and the end of the service."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import pytest

from inference_image.engine import Engine
from inference_image.server.process import drain
from inference_image.server.sse import quoted
from tests.inference_image.fake_steps import Endless
from tests.inference_image.listening import call, events, sent, service_of, serving, streamed

CHAT = {"messages": [{"role": "user", "content": "x"}], "stream": True}


def test_texts_in_events() -> None:
    """Text is written as it is, but for line ends of any kind: an event is one line for every client."""
    for text in ("안녕 🧡", '"\\/\b\x00\x1f\x7f', "a\nb\r\nc\u2028d\u2029e\x85f"):
        assert json.loads(quoted(text)) == text
        assert len(quoted(text).splitlines()) == 1
    assert quoted("안녕") == '"안녕"'


@pytest.fixture(scope="module")
def port(engine: Engine) -> Iterator[int]:
    with serving(service_of(engine)) as one:
        yield one


def test_generate_as_a_stream(port: int) -> None:
    """Parts of the text; the last event has what format full has."""
    found = streamed(port, "/generate", {"type": "text", "prompt": "Count to five.", "stream": True})
    assert "".join(one["text"] for one in found) == "1, 2, 3, 4, 5"
    assert all(one.keys() == {"text"} for one in found[:-1])
    usage = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}
    assert {**found[-1], "text": ""} == {"text": "", "stop_reason": "stop", "usage": usage, "model": "sample", "type": "text"}


def test_a_stream_that_is_refused_is_no_stream(port: int) -> None:
    """What is wrong with a request is told by its status, before any event."""
    for path, status in (("/generate", 422), ("/v1/chat/completions", 400), ("/v1/completions", 400)):
        assert call(port, "POST", path, {"stream": True, "nonsense": 1})[0] == status


def test_a_hundred_streams_at_once(port: int, examples: list[dict[str, str]]) -> None:
    """Each of them is the text that the model says when it is alone."""
    rows = [row for _ in range(3) for row in sorted(examples, key=lambda row: len(row["answer"]))[:35]][:100]

    async def one(row: dict[str, str]) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"type": row["type"], "prompt": row["prompt"], "stream": True}).encode()
        writer.write(b"POST /generate HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        _, _, found = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return "".join(event["text"] for event in events(found))

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(one, rows))

    assert asyncio.run(all_of_them()) == [row["answer"] for row in rows]


@pytest.fixture
def endless(engine: Engine) -> Iterator[tuple[Endless, Engine]]:
    model = Endless(engine.text.plain("a")[0])
    made = Engine(model, engine.text, name="m", stop_ids=frozenset(), max_context=8192, max_queue=3)
    yield model, made
    made.close()


def wait_until(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came true")


@pytest.mark.parametrize("n", [1, 3])
def test_a_reader_that_leaves_frees_its_places(endless: tuple[Endless, Engine], n: int) -> None:
    """A closed connection cancels a stream that runs, and those of its answers that still wait."""
    _, engine = endless
    with serving(service_of(engine)) as port:
        connection = sent(port, "/v1/chat/completions", {**CHAT, "n": n})
        assert b"200 OK" in connection.recv(1 << 16)
        connection.close()
        wait_until(lambda: not engine.busy)


def rest_of(connection: Any) -> tuple[int, bytes]:
    answer = HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    connection.close()
    return answer.status, body


GENERATE = {"prompt": "x", "stream": True}


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [("/v1/chat/completions", CHAT, b'"finish_reason": "length"'), ("/generate", GENERATE, b'"stop_reason": "cancelled"')],
)
def test_a_service_that_stops_closes_streams_with_a_reason(
    endless: tuple[Endless, Engine], path: str, body: Any, reason: bytes
) -> None:
    """What was begun ends with its reason and an error; what still waited gets 503 and a time to come back."""
    _, engine = endless
    service = service_of(engine)
    with serving(service) as port:
        begun = sent(port, path, body)
        assert b"200 OK" in begun.recv(10_000)
        waits = [sent(port, "/v1/completions", {"prompt": "x", "stream": True}), sent(port, "/generate", GENERATE)]
        wait_until(lambda: engine.busy == 3)
        service.draining = True
        drain(service, seconds=0.01)
        told = b""
        while not told.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            told += begun.recv(10_000)
        begun.close()
        waited = [rest_of(one) for one in waits]
    assert told.index(reason) < told.index(b'"code": "draining"')
    assert [(status, json.loads(found)["error"]["code"]) for status, found in waited] == [(503, "draining")] * 2


def test_a_slow_reader_gets_everything(port: int, engine: Engine) -> None:
    """Pieces that nobody takes wait in the answer, which holds no place of the engine; nothing is lost."""
    from inference_image.server import sse

    class Slow:
        """A client whose socket is full until it is let go."""

        def __init__(self) -> None:
            self.free = asyncio.Event()
            self.got = b""

        async def send(self, message: Any) -> None:
            await self.free.wait()
            self.got += message.get("body", b"")

        async def receive(self) -> Any:
            return await asyncio.Event().wait()

    class Texts:
        def opening(self) -> bytes:
            return b""

        def of(self, _: int, pieces: Any) -> bytes:
            return sse.event(json.dumps("".join(piece.text for piece in pieces)))

        closing = opening

    async def run() -> list[Any]:
        from inference_image.presets import PRESETS
        from inference_image.server.record import Record

        client, answer = Slow(), engine.submit(engine.request(PRESETS["text"], "Count to five."))
        stream = sse.EventStream([answer], Texts(), lambda _: {}, Record("x"))
        reading = asyncio.create_task(stream({"type": "http"}, client.receive, client.send))
        await asyncio.to_thread(wait_until, lambda: not engine.busy)
        client.free.set()
        await asyncio.wait_for(reading, 5)
        return events(client.got)

    found = asyncio.run(run())
    assert "".join(found) == "1, 2, 3, 4, 5"
    assert len(found) <= 3
