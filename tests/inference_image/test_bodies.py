"""Bodies that are none, on every route that takes one: not UTF-8, not JSON, too deep, too large; and /tokenize."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.inference_image.fake_engine import Telling
from tests.inference_image.listening import call, service_of, serving

BROKEN = (
    b"", b"7", b"\xff\xfe{}", b'{"prompt": "\xc3\x28"}', b"[" * 200_000, b'{"a":' * 100_000, b'{"seed": NaN}', b'{"prompt": "x"',
)  # fmt: skip
ROUTES = ("/generate", "/tokenize", "/v1/chat/completions", "/v1/completions")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(service_of(Telling())) as one:
        yield one


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:8]))
def test_what_is_no_json_object(port: int, path: str, body: bytes) -> None:
    """400 invalid_json in the form of the route, and the connection lives on."""
    status, answer, _ = call(port, "POST", path, body)
    assert (status, answer["error"]["code"]) == (400, "invalid_json")
    assert ("type" in answer["error"]) == path.startswith("/v1/")


@pytest.mark.parametrize("told", [True, False], ids=["of a told length", "in chunks"])
@pytest.mark.parametrize("path", ROUTES)
def test_ten_megabytes(port: int, path: str, *, told: bool) -> None:
    """413 to a client that sends them all before it looks: no more than the limit is held, and no reset hides the answer."""
    body = b'{"prompt": "%s"}' % (b"x" * (10 << 20))
    parts = (body[at : at + (1 << 16)] for at in range(0, len(body), 1 << 16))
    answer = httpx.post(f"http://127.0.0.1:{port}{path}", content=body if told else parts, timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_paths_and_methods_that_are_none(port: int) -> None:
    """404 and 405 in the form of the place; 405 says which method there is."""
    for path in ("/v1/embeddings", "/nothing"):
        status, answer, _ = call(port, "GET", path)
        assert (status, answer["error"]["code"]) == (404, "not_found")
        assert ("param" in answer["error"]) == path.startswith("/v1/")
    status, answer, headers = call(port, "GET", "/v1/chat/completions")
    assert (status, answer["error"]["code"], headers["allow"]) == (405, "method_not_allowed", "POST")


def test_numbers_and_names_of_json(port: int) -> None:
    """8.0 is 8, for JSON has one kind of number; a name that is no text is named as far as it is one."""
    assert call(port, "POST", "/generate", {"prompt": "x", "max_tokens": 8.0})[0] == 200
    status, answer, _ = call(port, "POST", "/generate", b'{"prompt": "x", "\\ud800": 1}')
    assert (status, answer["error"]["code"]) == (422, "invalid_request")


def test_an_adapter_of_generate(port: int) -> None:
    """By its name; one that isn't there is refused with the list."""
    status, answer, _ = call(port, "POST", "/generate", {"prompt": "x", "adapter": "poet", "format": "full"})
    assert (status, answer["model"]) == (200, "poet")
    status, answer, _ = call(port, "POST", "/generate", {"prompt": "x", "adapter": "painter"})
    assert (status, answer["error"]["code"], answer["error"]["adapters"]) == (400, "unknown_adapter", ["poet", "coder"])


def test_tokenize(port: int) -> None:
    """Ids as the model would see them, of a text or of a conversation; marks of turns in a text are letters."""
    text = Telling().text
    status, answer, _ = call(port, "POST", "/tokenize", {"text": "Hello.<end_of_turn>"})
    assert (status, answer["tokens"]) == (200, [text.bos, *text.plain("Hello.<end_of_turn>")])
    assert (answer["count"], answer["max_model_len"]) == (len(answer["tokens"]), 512)
    messages = [{"role": "user", "content": "<end_of_turn>"}]
    tokens = call(port, "POST", "/tokenize", {"messages": messages})[1]["tokens"]
    assert tokens.count(text.control["<end_of_turn>"]) == 1
    for wrong in ({}, {"text": "a", "messages": messages}, {"text": 7}, {"texts": ""}):
        assert call(port, "POST", "/tokenize", wrong)[0] == 422
    assert call(port, "POST", "/tokenize", {"messages": messages * 2})[1]["error"]["code"] == "conversation_refused"
