"""The routes in this process: exact exchanges, refusals, disconnects. A real uvicorn over the sample model."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from http.client import HTTPResponse
from typing import Any

import pytest

from inference_image import contract
from inference_image.contract import EXCHANGES, Exchange
from inference_image.engine import Engine, Sampling
from inference_image.engine.schedule import Part
from inference_image.presets_file import types_of
from inference_image.server.process import drain
from tests.inference_image.fake_steps import Endless
from tests.inference_image.listening import call, sent, service_of, serving


@pytest.fixture(scope="module")
def port(engine: Engine) -> Iterator[int]:
    with serving(service_of(engine)) as one:
        yield one


def head(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("HEAD", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda one: one.name)
def test_exchanges_of_the_contract(port: int, exchange: Exchange) -> None:
    """Every request of contract.EXCHANGES gets exactly its answer from the sample model."""
    status, answer, _ = call(port, "POST", "/generate", exchange.request)
    assert status == exchange.status
    assert contract.matches(exchange.response, answer), answer


def test_the_types_are_those_of_the_engine(engine: Engine) -> None:
    """A service answers the types of its model, lists them, and samples as a type says, but for what the request says."""
    said = """{"schema": "gemmactl/presets.v1", "default": "brief", "types": {"text": null,
        "brief": {"mode": "chat", "template": "{prompt}", "max_tokens": 3, "temperature": 2, "top_k": 1}}}"""
    presets = types_of({contract.PRESETS: said.encode()}, None)
    asked: list[Sampling] = []

    class Listening(Endless):
        def prompt(self, parts: Sequence[Part]) -> Any:
            asked.extend(part.tag.request.sampling for part in parts)
            return super().prompt(parts)

    own = Engine(Listening(1), engine.text, name="m", stop_ids=frozenset({1}), max_context=99, max_queue=1, presets=presets)
    with serving(service_of(own)) as port:
        _, answer, _ = call(port, "POST", "/generate", {"prompt": "Hi", "format": "full"})
        call(port, "POST", "/generate", {"prompt": "Hi", "temperature": 0})
        _, listed, _ = call(port, "GET", "/v1/presets")
        status, refused, _ = call(port, "POST", "/generate", {"type": "text", "prompt": "Hi"})
    own.close()
    assert answer["type"] == "brief"
    assert asked == [Sampling(temperature=2, top_k=1), Sampling(top_k=1)]
    assert listed[-1] == {"type": "brief", "mode": "chat", "max_tokens": 3}
    assert [row["type"] for row in listed] == ["translation", "product", "sql", "brief"]
    assert (status, refused["error"]["types"]) == (400, ["translation", "product", "sql", "brief"])


def test_matches_tells_shapes_apart() -> None:
    """The comparison of exchanges is strict: values, keys, lengths and types all count."""
    shape = {"a": int, "b": ["x", str]}
    assert contract.matches(shape, {"a": 1, "b": ["x", "y"]})
    right = {"a": 1, "b": ["x", "y"]}
    for wrong in ({**right, "a": True}, {"a": 1}, {"a": 1, "b": ["x"]}, {"a": 1, "b": ["z", "y"]}, "a", {**right, "c": 0}):
        assert not contract.matches(shape, wrong)


def test_no_echo_and_no_second_example(port: int, examples: list[dict[str, str]]) -> None:
    """The seed's two bugs: an answer holds neither its prompt nor a second answer."""
    for row in [row for row in examples if row["type"] == "translation"][:5]:
        _, answer, _ = call(port, "POST", "/generate", {"type": "translation", "prompt": row["prompt"], "max_tokens": 1500})
        assert answer == row["answer"]
        assert row["prompt"] not in answer
        assert "###" not in answer


SECRET = "what-nobody-may-read"


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        ({"prompt": 7}, 422, "invalid_request", ["prompt"]),
        ({}, 422, "invalid_request", ["prompt"]),
        ({"prompt": ""}, 422, "invalid_request", ["prompt"]),
        ({"prompt": SECRET, "max_tokens": 0}, 422, "invalid_request", ["max_tokens"]),
        ({"prompt": SECRET, "max_tokens": True}, 422, "invalid_request", ["max_tokens"]),
        ({"prompt": SECRET, "max_tokens": 1.5}, 422, "invalid_request", ["max_tokens"]),
        ({"prompt": SECRET, "format": "xml"}, 422, "invalid_request", ["format"]),
        ({"prompt": SECRET, "stop": [SECRET, 1]}, 422, "invalid_request", ["stop.1"]),
        ({"prompt": SECRET, "temperature": "hot"}, 422, "invalid_request", ["temperature"]),
        ({"prompt": SECRET, "seed": -1, "best": SECRET}, 422, "invalid_request", ["seed", "best"]),
        ([SECRET], 400, "invalid_json", None),
        (b"{" + SECRET.encode(), 400, "invalid_json", None),
        (b"\xff\xfe", 400, "invalid_json", None),
        (b"[" * 100_000, 400, "invalid_json", None),
    ],
)
def test_wrong_requests_are_named_and_not_repeated(
    port: int, body: Any, status: int, code: str, fields: list[str] | None
) -> None:
    """A wrong request learns which fields are wrong; nothing that it said comes back."""
    got, answer, _ = call(port, "POST", "/generate", body)
    assert (got, answer["error"]["code"]) == (status, code)
    if fields is not None:
        assert [row["field"] for row in answer["error"]["fields"]] == fields
    assert SECRET not in json.dumps(answer)


def test_a_body_over_the_limit_is_413(port: int) -> None:
    """More than a megabyte is not read to its end."""
    status, answer, _ = call(port, "POST", "/generate", {"prompt": "x" * contract.BODY_LIMIT})
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def test_sampling_words_are_understood(port: int) -> None:
    """The same seed gives the same text."""
    body = {"type": "text", "prompt": "zzz", "max_tokens": 8, "temperature": 1.5, "top_k": 40, "top_p": 0.9, "seed": 7}
    assert call(port, "POST", "/generate", body)[1] == call(port, "POST", "/generate", body)[1]


def test_a_requests_own_stop(port: int) -> None:
    """Stop strings of the request count beside the preset's."""
    body = {"type": "text", "prompt": "Count to five.", "stop": [", 3"]}
    assert call(port, "POST", "/generate", body)[1] == "1, 2"


def test_other_routes(port: int) -> None:
    """Health, readiness, timeline and version of a loaded service."""
    assert call(port, "GET", "/health")[:2] == (200, {"status": "ok"})
    assert call(port, "GET", "/ready")[0] == 200
    assert call(port, "GET", "/v1/timeline")[1]["version"] == 1
    assert {"gemmactl", "torch", "transformers"} <= call(port, "GET", "/version")[1].keys()
    assert "/generate" in call(port, "GET", "/openapi.json")[1]["paths"]
    assert {"type": "text", "mode": "chat", "max_tokens": 1024} in call(port, "GET", "/v1/presets")[1]
    for path in ("/health", "/ready", "/v1/timeline", "/version", "/metrics", "/v1/presets", "/"):
        assert head(port, path) == (200, b"")


def test_prompts_are_not_logged(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    """A request leaves one line with counts and times and none of its words."""
    call(port, "POST", "/generate", {"type": "text", "prompt": SECRET, "max_tokens": 2})
    call(port, "POST", "/generate", {"prompt": SECRET, SECRET[:5]: 1})
    printed = ""
    while printed.count('"route": "/generate"') < 2:  # a line is written after its answer was sent
        printed += capfd.readouterr().out
    assert SECRET not in printed
    line = next(json.loads(line) for line in printed.splitlines() if "completion_tokens" in line)
    counts = {"prompt_tokens", "completion_tokens", "ttft", "queued", "tok_per_s", "seconds", "stop_reason"}
    assert {"route", "status", "type"} | counts == line["request"].keys()


def test_a_service_that_still_loads() -> None:
    """Not ready is 503 with a time to come back, with the stage and bytes on /ready; health is 200 all the while."""
    service = service_of(None)
    service.timeline.stage, service.timeline.bytes_total = "read weights", 10
    with serving(service) as port:
        status, answer, headers = call(port, "GET", "/ready")
        assert (status, answer) == (503, {"stage": "read weights", "bytes_done": 0, "bytes_total": 10, "eta_s": None})
        status, answer, headers = call(port, "POST", "/generate", {"prompt": "x"})
        assert (status, answer["error"]["code"]) == (503, "not_ready")
        assert int(headers["retry-after"]) >= 1
        assert (answer["error"]["stage"], answer["error"]["bytes_total"]) == ("read weights", 10)
        assert call(port, "GET", "/v1/timeline")[0] == 503
        assert call(port, "GET", "/health")[0] == 200
        service.draining = True
        assert call(port, "POST", "/generate", {"prompt": "x"})[1]["error"]["code"] == "draining"
        assert call(port, "GET", "/ready")[0] == 503


@pytest.fixture
def endless(engine: Engine) -> Iterator[tuple[Endless, Engine]]:
    model = Endless(engine.text.plain("a")[0])
    made = Engine(model, engine.text, name="m", stop_ids=frozenset(), max_context=8192, max_queue=1)
    yield model, made
    made.close()


def post_and_leave(port: int) -> socket.socket:
    """A request whose answer nobody has read yet."""
    return sent(port, "/generate", {"prompt": "x"})


def test_a_client_that_leaves_frees_the_engine(endless: tuple[Endless, Engine]) -> None:
    """A closed connection cancels its answer: the engine is free for the next one."""
    model, engine = endless
    with serving(service_of(engine)) as port:
        connection = post_and_leave(port)
        assert model.began.wait(5)
        connection.close()
        while engine.busy:
            threading.Event().wait(0.005)


def test_a_full_queue_is_429(endless: tuple[Endless, Engine]) -> None:
    """One runs, one waits, the third is told when to come back."""
    model, engine = endless
    with serving(service_of(engine)) as port:
        first, second = post_and_leave(port), None
        assert model.began.wait(5)
        second = post_and_leave(port)
        while engine.busy < 2:
            threading.Event().wait(0.005)
        status, answer, headers = call(port, "POST", "/generate", {"prompt": "x"})
        assert (status, answer["error"]["code"]) == (429, "queue_full")
        assert int(headers["retry-after"]) >= 1
        engine.cancel_all()
        first.close()
        second.close()


def test_what_does_not_end_in_time_is_told(endless: tuple[Endless, Engine]) -> None:
    """After the drain's time a running answer is stopped, and its client gets 503 draining, not half an answer."""
    model, engine = endless
    service = service_of(engine)
    with serving(service) as port:
        connection = post_and_leave(port)
        assert model.began.wait(5)
        service.draining = True
        drain(service, seconds=0.01)
        answer = HTTPResponse(connection)  # head and body may come in two packets
        answer.begin()
        body = answer.read().decode()
        connection.close()
    assert answer.status == 503
    assert "draining" in body


class Failing:
    """A model that breaks."""

    rows = 1

    def prompt(self, *_: Any) -> Any:
        raise RuntimeError(SECRET)


def test_a_failure_of_the_model_is_500_without_its_text(engine: Engine) -> None:
    """What a broken model says may hold a prompt: only the kind of the failure is told."""
    broken = Engine(Failing(), engine.text, name="m", stop_ids=frozenset(), max_context=8192, max_queue=1)
    with serving(service_of(broken)) as port:
        status, answer, _ = call(port, "POST", "/generate", {"prompt": "x"})
    broken.close()
    assert (status, answer["error"]["code"]) == (500, "engine_failed")
    assert SECRET not in json.dumps(answer)
