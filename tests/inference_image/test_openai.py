"""OpenAI's own client asks every route of the sample model, and finds its own classes of errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from inference_image.contract import COMPLETION_TOKENS, RequestCode
from inference_image.engine import Engine, Piece, Refused
from tests.inference_image.fake_engine import Telling, text_of_sample
from tests.inference_image.listening import service_of, serving

COUNT = [{"role": "user", "content": "Count to five."}]


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[openai.OpenAI]:
    with serving(service_of(engine)) as port:
        yield client_of(port)


def client_of(port: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=20)


def greedy(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": "sample", "messages": COUNT, "temperature": 0, **more})


def test_a_chat(client: openai.OpenAI) -> None:
    """The answer, why it ended and what it cost."""
    answer = greedy(client)
    assert answer.choices[0].message.content == "1, 2, 3, 4, 5"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.object, answer.choices[0].message.role) == ("sample", "chat.completion", "assistant")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (20, 8, 28)


def test_a_conversation_of_all_roles(client: openai.OpenAI) -> None:
    """System and developer are one role; parts of a message are one text; nulls that a client sends back mean nothing."""
    for first in ("system", "developer"):
        last = [{"type": "text", "text": "Count "}, {"type": "text", "text": "to five."}]
        messages = [
            {"role": first, "content": "Be brief."},
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hi.", "refusal": None, "tool_calls": [], "audio": None, "name": "it"},
            {"role": "user", "content": last},
        ]
        joined = [*messages[:-1], {"role": "user", "content": "Count to five."}]
        assert text_of(greedy(client, messages=messages)) == text_of(greedy(client, messages=joined))


def text_of(answer: Any) -> str:
    return str(answer.choices[0].message.content)


def test_a_chat_as_a_stream(client: openai.OpenAI) -> None:
    """Who speaks, the text, the reason, and the tokens in an event without choices."""
    chunks = list(greedy(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "1, 2, 3, 4, 5"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1] if chunk.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 8
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    assert list(greedy(client, stream=True))[-1].choices[0].finish_reason == "stop"


def held_to(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}


def test_an_answer_in_json(client: openai.OpenAI) -> None:
    """`json_schema` gives an object of the schema, whole and as a stream; `json_object` any object, each of several."""
    item = {"type": "object", "properties": {"수": {"enum": [1, 2]}}, "required": ["수"], "additionalProperties": False}
    asked = {"response_format": held_to({"type": "array", "items": item, "minItems": 2, "maxItems": 2}), "max_tokens": 150}
    answer = greedy(client, **asked)
    assert answer.choices[0].finish_reason == "stop"
    assert [one.keys() for one in json.loads(text_of(answer))] == [{"수"}] * 2
    told = "".join(chunk.choices[0].delta.content or "" for chunk in greedy(client, **asked, stream=True))
    assert told == text_of(answer)
    several = greedy(client, response_format={"type": "json_object"}, n=2, seed=1, temperature=1, max_tokens=50)
    assert all(isinstance(json.loads(one.message.content), dict) for one in several.choices if one.finish_reason == "stop")


def test_several_answers(client: openai.OpenAI) -> None:
    """N answers to one prompt, whole and as one stream; a seed gives each its own, and the same again."""
    asked = {"messages": [{"role": "user", "content": "zzz"}], "n": 3, "temperature": 2, "seed": 5, "max_tokens": 8}
    first = [choice.message.content for choice in greedy(client, **asked).choices]
    assert len(set(first)) > 1
    streamed = {0: "", 1: "", 2: ""}
    for chunk in greedy(client, stream=True, **asked):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert list(streamed.values()) == first
    usage = greedy(client, n=2).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (20, 16)


def test_completions(client: openai.OpenAI, examples: list[dict[str, str]]) -> None:
    """Texts and token ids, one or many; sixteen tokens where the request doesn't say."""
    row = next(row for row in examples if row["type"] == "sql")
    prompt = row["prompt"].replace(" Context:", "\nContext:") + "\nAnswer:"
    answer = client.completions.create(model="sample", prompt=prompt, temperature=0, max_tokens=200, stop="\nQuestion:")
    assert answer.choices[0].text == " " + row["answer"]
    assert answer.object == "text_completion"
    many = client.completions.create(model="sample", prompt=[prompt, "Hello"], temperature=0, n=2)
    assert [choice.index for choice in many.choices] == [0, 1, 2, 3]
    assert many.choices[0].text == many.choices[1].text == answer.choices[0].text[: len(many.choices[0].text)]
    assert many.usage
    assert many.choices[0].finish_reason == "length"
    assert 3 * COMPLETION_TOKENS <= many.usage.completion_tokens <= 4 * COMPLETION_TOKENS
    parts = client.completions.create(model="sample", prompt=prompt, temperature=0, max_tokens=200, stream=True)
    assert "".join(part.choices[0].text for part in parts).startswith(answer.choices[0].text)


def test_token_ids_are_taken_as_they_are(client: openai.OpenAI, engine: Engine) -> None:
    """Ids of a whole conversation, its control tokens among them, continue as the conversation does."""
    from inference_image.presets import Chat, Message, Part

    ids = engine.text.encode(Chat((Message("user", (Part("Count to five.", trusted=False),)),)))
    answer = client.completions.create(model="sample", prompt=[ids], temperature=0)
    assert answer.choices[0].text == "1, 2, 3, 4, 5"
    assert answer.usage
    assert answer.usage.prompt_tokens == len(ids)


def test_the_examples_of_the_page(client: openai.OpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    """Each curl line of docs/api.md is answered, and the Python example prints what the model says."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    address = str(client.base_url).removesuffix("/v1/")
    lines = re.findall(r"^curl \$URL(\S+) .* -d '(.*)'$", page, re.MULTILINE)
    assert {path for path, _ in lines} == {"/v1/chat/completions", "/v1/completions", "/generate", "/tokenize"}
    for path, body in lines:
        assert httpx.post(address + path, content=body).status_code == 200
    code = page.partition("```python\n")[2].partition("```")[0]
    exec(code.replace('os.environ["URL"]', repr(address)).replace('os.environ["TOKEN"]', '"none"'), {})
    assert capsys.readouterr().out


def test_models() -> None:
    """The served name and the adapters, each with its base; and one of them."""
    with serving(service_of(Telling())) as port:
        client = client_of(port)
        assert [(one.id, one.object) for one in client.models.list()] == [(n, "model") for n in ("base", "poet", "coder")]
        assert client.models.retrieve("poet").to_dict()["parent"] == "base"
        with pytest.raises(openai.NotFoundError) as refused:
            client.models.retrieve("no/such")
    assert refused.value.code == "model_not_found"


def test_logprobs_of_a_client(client: openai.OpenAI) -> None:
    """Whatever engine answers, the field is null unless it was asked for."""
    assert greedy(client).choices[0].logprobs is None
    assert client.completions.create(model="sample", prompt="a", max_tokens=1).choices[0].logprobs is None


@pytest.mark.parametrize(
    ("asked", "kind", "code", "param"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model_not_found", "model"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "unsupported_parameter", "tools"),
        ({"logit_bias": {"5": 1}}, openai.BadRequestError, "unsupported_parameter", "logit_bias"),
        ({"n": 9}, openai.BadRequestError, "invalid_request", "n"),
        ({"temperature": "hot"}, openai.BadRequestError, "invalid_request", "temperature"),
        ({"top_logprobs": 2}, openai.BadRequestError, "invalid_request", "top_logprobs"),
        ({"extra_body": {"beams": 4}}, openai.BadRequestError, "invalid_request", "beams"),
        ({"messages": []}, openai.BadRequestError, "invalid_request", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, openai.BadRequestError, "invalid_request", "messages.0.role"),
        ({"messages": COUNT * 2}, openai.BadRequestError, "conversation_refused", "messages"),
        ({"max_tokens": 1_000_000}, openai.BadRequestError, "context_length_exceeded", "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]},
            openai.BadRequestError,
            "unsupported_content",
            "messages.0.content.0.type",
        ),
        ({"response_format": {"type": "json_schema"}}, openai.BadRequestError, "invalid_request", "response_format.json_schema"),
        ({"response_format": held_to({"enum": []})}, openai.BadRequestError, "invalid_request", "response_format"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_refusals_are_the_clients_own(
    client: openai.OpenAI, asked: dict[str, Any], kind: type[openai.APIStatusError], code: str, param: str
) -> None:
    """OpenAI's error object names the field, and its client raises its own class."""
    with pytest.raises(kind) as refused:
        greedy(client, **asked)
    assert (refused.value.code, refused.value.param, refused.value.type) == (code, param, "invalid_request_error")
    assert isinstance(refused.value.body, dict)
    assert refused.value.body.keys() == {"message", "type", "param", "code"}


def test_a_template_says_why_it_refuses(client: openai.OpenAI) -> None:
    """The reason of the chat template reaches the one who can change the conversation."""
    with pytest.raises(openai.BadRequestError, match="must alternate user/assistant"):
        greedy(client, messages=[{"role": "assistant", "content": "Hi."}])
    base = Telling(text=text_of_sample(""))
    with serving(service_of(base)) as port, pytest.raises(openai.BadRequestError, match="no chat template"):
        greedy(client_of(port), model="base")


def test_a_schema_that_proves_too_complex() -> None:
    """Refused as the request that it is, also where the answer has begun; an answer alone is then a bad request."""
    late = Refused(RequestCode.INVALID_REQUEST, "no", facts={"fields": [{"field": "response_format", "problem": "no"}]})
    with serving(service_of(Telling(Piece("{"), late))) as port:
        with pytest.raises(openai.BadRequestError) as refused:
            greedy(client_of(port), model="base")
        assert refused.value.param == "response_format"
        with pytest.raises(openai.APIError) as refused_late:
            list(greedy(client_of(port), model="base", stream=True))
        assert (refused_late.value.code, refused_late.value.param) == ("invalid_request", "response_format")


class Refusing(Telling):
    """Takes `most` requests in, then refuses."""

    def __init__(self, refused: Refused, most: int = 0) -> None:
        super().__init__()
        self.refused, self.most = refused, most

    def submit(self, request: Any) -> Any:
        if len(self.asked) >= self.most:
            raise self.refused
        return super().submit(request)


def test_no_place_and_no_service() -> None:
    """A full queue is RateLimitError, a stopping or loading service InternalServerError with 503; both say when to come back."""
    full = Refusing(Refused(RequestCode.QUEUE_FULL, "3 requests are waiting already", retry_after=7))
    with serving(service_of(full)) as port, pytest.raises(openai.RateLimitError) as later:
        greedy(client_of(port), model="base")
    assert later.value.response.headers["retry-after"] == "7"
    assert (later.value.code, later.value.type) == ("queue_full", "rate_limit_error")
    with serving(service_of(None)) as port:
        with pytest.raises(openai.InternalServerError) as loading:
            greedy(client_of(port))
        assert (loading.value.status_code, loading.value.code) == (503, "not_ready")
        with pytest.raises(openai.InternalServerError):
            client_of(port).models.list()


def test_all_answers_or_none() -> None:
    """When the third of four has no place, the first two are not computed."""
    engine = Refusing(Refused(RequestCode.QUEUE_FULL, "full", retry_after=1), most=2)
    with serving(service_of(engine)) as port, pytest.raises(openai.RateLimitError):
        greedy(client_of(port), model="base", n=4)
    assert engine.cancelled == 2


def test_a_failure_of_the_engine() -> None:
    """500 before the first piece, an error in the stream after it; neither holds the exception's text."""
    from inference_image.engine import Piece

    with serving(service_of(Telling(RuntimeError("secret")))) as port, pytest.raises(openai.InternalServerError) as failed:
        greedy(client_of(port), model="base", stream=True)
    assert (failed.value.status_code, failed.value.code) == (500, "engine_failed")
    with serving(service_of(Telling(Piece("Hi"), RuntimeError("secret")))) as port, pytest.raises(openai.APIError) as cut:
        list(greedy(client_of(port), model="base", stream=True))
    assert cut.value.code == "engine_failed"
    assert "secret" not in str(cut.value) + str(failed.value)
