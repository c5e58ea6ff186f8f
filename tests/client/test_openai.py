"""The types of /generate over OpenAI's routes, against a local server that speaks their shapes (vLLM itself is not run)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gemmactl.client.generate import Patience, Service, generate
from gemmactl.client.openai import request
from gemmactl.client.wire import Https
from gemmactl.errors import Exit, Trouble
from inference_image import contract
from inference_image.presets_file import types_of

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_tokens_details": None}


@dataclass
class StandIn:
    """Answers as vLLM 0.26.0's protocol classes are written; `replies` come first, in order."""

    url: str = ""
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    """(path, Authorization, body)"""
    replies: list[tuple[int, Any]] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        if self.replies:
            return self.replies.pop(0)
        if body["model"] != "tuned":
            return 404, error(404, f"The model `{body['model']}` does not exist.")
        content = {"id": "x", "created": 1, "model": "tuned", "usage": USAGE}
        if path == "/v1/chat/completions":
            message = {"role": "assistant", "content": "a chat"}
            return 200, {**content, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        return 200, {**content, "choices": [{"index": 0, "text": "a completion", "finish_reason": "length"}]}


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": code}}


@pytest.fixture
def vllm() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stand_in.seen.append((self.path, self.headers.get("Authorization", ""), body))
            status, content = stand_in.answer(self.path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Quiet: the test run's stderr is not its log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    yield stand_in
    server.shutdown()
    server.server_close()
    thread.join(5)


def service(stand_in: StandIn, **more: Any) -> Service:
    slept = [0.0]
    patience = Patience(budget=60, now=lambda: slept[0], sleep=lambda s: slept.__setitem__(0, slept[0] + s))
    more = {"engine": "vllm", "model": "tuned", **more}
    return Service(
        "gemma", stand_in.url, Https({}), token=lambda: "id-token", caller="user:a@example.com", patience=patience, **more
    )


def test_a_chat_type_goes_through_the_checkpoints_own_template(vllm: StandIn) -> None:
    """One user turn to /v1/chat/completions with the ID token, greedy, and the answer in our words."""
    found = generate(service(vllm), "Who are you?", "text", 24)
    (path, token, body), *_ = vllm.seen
    assert (path, token) == ("/v1/chat/completions", "Bearer id-token")
    turns = [{"role": "user", "content": "Who are you?"}]
    assert body == {"model": "tuned", "max_tokens": 24, "temperature": 0, "messages": turns}
    assert (found.text, found.stop_reason, found.model, found.type) == ("a chat", "stop", "tuned", "text")
    assert found.usage == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def test_a_raw_type_is_one_text_with_its_stops(vllm: StandIn) -> None:
    """The preset's own form to /v1/completions without a <bos>: vLLM's tokenizer writes the only one."""
    found = generate(service(vllm), "Good morning.", "translation")
    (path, _, body), *_ = vllm.seen
    assert path == "/v1/completions"
    assert body["prompt"].endswith("### Input:\nGood morning.\n\n### Response:\n")
    assert "<bos>" not in body["prompt"]
    assert (body["stop"], body["max_tokens"]) == (["### Response:", "### Instruction:", "### Input:"], 1024)
    assert (found.text, found.stop_reason) == ("a completion", "length")


@pytest.mark.parametrize(
    ("prompt", "kind"), [("Question: How many? Context: CREATE TABLE t (a INT)", "sql"), ("Good morning.", "text")]
)
def test_without_a_type_the_prompt_decides(prompt: str, kind: str) -> None:
    """As the own server does it."""
    assert request("m", prompt, None, None).type == kind


def test_types_of_the_service_are_put_like_the_built_in_ones(vllm: StandIn) -> None:
    """A preset beside the model: its system message, sampling and stops go into vLLM's own fields."""
    said = b"""{"schema": "gemmactl/presets.v1", "types": {
        "poem": {"mode": "chat", "template": "On {prompt}.", "system": "Be brief.", "top_k": 5, "max_tokens": 9},
        "raw": {"mode": "raw", "template": "{prompt}:", "stop": ["!"]}}}"""
    own = types_of({contract.PRESETS: said}, None)
    generate(service(vllm, types=lambda: own), "rain", "poem")
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "On rain."}]
    assert vllm.seen[0][2] == {"model": "tuned", "max_tokens": 9, "temperature": 1.0, "top_k": 5, "messages": turns}
    generate(service(vllm, types=lambda: own), "rain", "raw")
    assert (vllm.seen[1][2]["prompt"], vllm.seen[1][2]["stop"]) == ("rain:", ["!"])


def test_an_unknown_type_lists_the_types_and_sends_nothing(vllm: StandIn) -> None:
    """The server has no types: the list is the client's own."""
    with pytest.raises(Trouble) as caught:
        generate(service(vllm), "x", "poem")
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "request-refused")
    assert "translation, text, product, sql" in caught.value.remedy
    assert vllm.seen == []


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template",
            "--type sql",
        ),
        ("This model's maximum context length is 1024 tokens. However, you requested 2000 output tokens", "--max-tokens"),
    ],
)
def test_a_refusal_of_vllm_has_a_remedy(vllm: StandIn, said: str, remedy: str) -> None:
    """Its own words as the reason; the prompt is not part of them."""
    vllm.replies = [(400, error(400, said))]
    with pytest.raises(Trouble) as caught:
        generate(service(vllm), "SECRET prompt", "text")
    assert (caught.value.why, caught.value.exit) == (said, Exit.USAGE)
    assert remedy in caught.value.remedy
    assert "SECRET" not in str(caught.value)


def test_another_model_name_is_told_in_vllms_words(vllm: StandIn) -> None:
    """404 is not always a missing route."""
    with pytest.raises(Trouble) as caught:
        generate(service(vllm, model="other"), "x", "text")
    assert caught.value.why == "The model `other` does not exist."


def test_a_waking_service_is_waited_for(vllm: StandIn) -> None:
    """Cloud Run's 429 and 503 before vLLM listens are the same as with our server."""
    vllm.replies = [(429, "Rate exceeded."), (503, "")]
    assert generate(service(vllm), "x", "text").text == "a chat"
    assert len(vllm.seen) == 3


@pytest.mark.parametrize("content", [{"choices": []}, {"choices": [{"message": {"content": None}}]}, ["no"], {"text": "ours"}])
def test_an_answer_of_another_shape_is_none(vllm: StandIn, content: Any) -> None:
    """A 200 without a completion is an error, not an empty text."""
    vllm.replies = [(200, content)]
    with pytest.raises(Trouble) as caught:
        generate(service(vllm), "x", "text")
    assert caught.value.code == "service-failed"
