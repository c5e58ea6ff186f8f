"""What happens around every request: failures nobody foresaw, clients that left, prompts that were asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient

from inference_image.engine.request import Piece, Timing, Usage
from inference_image.server.record import KEPT_CHARACTERS, anatomy, record_of
from inference_image.server.service import Service
from inference_image.server.watch import Watch
from inference_image.settings import Settings
from inference_image.timeline import Timeline

CANARY = "what-nobody-may-read"
Line = tuple[str, str, dict[str, Any]]


def watched(*, log_prompts: bool = False) -> tuple[FastAPI, Service, list[Line]]:
    """Three routes under the middleware, and the lines that it writes."""
    app, lines = FastAPI(), []
    service = Service(Settings(model="m", log_prompts=log_prompts, project="my-project"), Timeline())

    @app.post("/breaks")
    async def breaks() -> None:
        raise RuntimeError(CANARY)

    @app.post("/answers")
    async def answers(request: Request) -> int:
        record = record_of(request)
        record.asked("text", 7, CANARY)
        record.heard([Piece("the "), Piece("end")], record.began + 0.5)
        record.heard([Piece(CANARY, "stop", Usage(7, 3), timing=Timing(0.25, 0.1, 0.5))])
        return 3

    @app.post("/waits")
    async def waits(request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue

    def write(severity: str, message: str, **fields: Any) -> None:
        lines.append((severity, message, fields))

    app.add_middleware(Watch, service=service, write=write)
    return app, service, lines


def post(app: FastAPI, path: str, **headers: str) -> tuple[int, str]:
    async def ask() -> tuple[int, str]:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as client:
            answer = await client.post(path, headers=headers)
            return answer.status_code, answer.text

    return asyncio.run(ask())


def test_what_nobody_foresaw_is_500_in_json_without_its_text() -> None:
    """The client learns the code, the log the kind and place of the failure; its text, which may hold a prompt, goes nowhere."""
    app, service, lines = watched()
    status, text = post(app, "/breaks")
    assert (status, '"code":"internal_error"' in text) == (500, True)
    ((severity, _, fields),) = lines
    assert (severity, fields["request"]["exception"]["type"]) == ("ERROR", "RuntimeError")
    assert fields["request"]["exception"]["at"][-1].endswith(" breaks")
    assert CANARY not in text + str(lines)
    assert service.metrics.requests == {("/breaks", "500"): 1}
    assert service.in_flight == 0


def test_one_line_with_its_trace_and_no_prompt() -> None:
    """A request that was answered: counts and times, filed under the caller's trace."""
    app, service, lines = watched()
    trace = "0af7651916cd43dd8448eb211c80319c"
    assert post(app, "/answers", traceparent=f"00-{trace}-b7ad6b7169203331-01", **{"user-agent": "a\tb" * 100}) == (200, "3")
    ((severity, _, fields),) = lines
    assert severity == "INFO"
    told = fields["request"]
    assert (told["type"], told["prompt_tokens"], told["completion_tokens"], told["stop_reason"]) == ("text", 7, 3, "stop")
    assert (told["queued"], told["tok_per_s"], told["ttft"]) == (0.25, 4.0, 0.5)
    assert fields["logging.googleapis.com/trace"] == f"projects/my-project/traces/{trace}"
    assert len(fields["httpRequest"]["userAgent"]) <= 120
    assert "\t" not in fields["httpRequest"]["userAgent"]
    assert CANARY not in str(lines)
    assert service.metrics.generation_tokens == 3


def test_prompts_are_written_down_where_it_was_asked_for() -> None:
    """GEMMACTL_LOG_PROMPTS=1: prompt and answer are in the line."""
    app, _, lines = watched(log_prompts=True)
    post(app, "/answers")
    told = lines[0][2]["request"]
    assert (told["prompt"], told["answer"]) == (CANARY, f"the end{CANARY}")
    assert len(CANARY) < KEPT_CHARACTERS


@pytest.mark.parametrize("path", [f"/{CANARY}", f"/answers/{CANARY}?x={CANARY}"])
def test_a_path_that_is_no_route_is_other(path: str) -> None:
    """What a client puts into a path is no label of a metric and no word of a line."""
    app, service, lines = watched()
    assert post(app, path)[0] == 404
    assert service.metrics.requests == {("other", "404"): 1}
    assert CANARY not in str(lines)


def test_a_client_that_left_is_499() -> None:
    """Nobody got an answer: that's no success and no failure of ours."""
    app, service, lines = watched()

    async def leave() -> None:
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            return next(messages, {"type": "http.disconnect"})

        async def send(_: Any) -> None:
            return

        scope = {"type": "http", "method": "POST", "path": "/waits", "headers": [], "query_string": b"", "root_path": ""}
        await app(scope, receive, send)

    asyncio.run(leave())
    assert lines[0][2]["request"]["status"] == 499
    assert service.metrics.requests == {("/waits", "499"): 1}


def test_an_exception_is_told_without_its_words() -> None:
    """Kinds, causes and places; for a group the kinds of its members."""
    try:
        try:
            int(CANARY)
        except ValueError as error:
            raise ExceptionGroup(CANARY, [KeyError(CANARY)]) from error
    except ExceptionGroup as error:
        told = anatomy(error)
    assert (told["type"], told["cause"]["type"], told["of"][0]["type"]) == ("ExceptionGroup", "ValueError", "KeyError")
    assert "test_watch.py" in told["at"][0]
    assert CANARY not in str(told)
