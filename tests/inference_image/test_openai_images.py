"""Images through OpenAI's chat route: the official client's parts, answered as transformers answers them, refused by name."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from inference_image import contract
from inference_image.chunks.single import Objects
from inference_image.engine import Engine, load
from inference_image.server.openai_wishes import chat_wish
from inference_image.server.pictures import Pictures
from inference_image.server.service import Service
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.fake_engine import Telling
from tests.inference_image.fake_storage import Bucket
from tests.inference_image.listening import call, serving
from tests.inference_image.seeing import Transformers, picture, said, shown

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def engine(seeing: Path) -> Iterator[Engine]:
    made = load(Settings(model=str(seeing), threads=1, dtype="float32", images=True, name="seeing"), environ={})
    yield made
    made.close()


@pytest.fixture(scope="module")
def port(engine: Engine) -> Iterator[int]:
    bucket = Bucket()
    bucket.hold.set()
    bucket.put("m/two.png", picture(2))
    bucket.put("m/words.txt", b"canary")
    with fake_storage.running(bucket) as address:
        pictures = Pictures(("gs://bucket/m",), Objects({"STORAGE_EMULATOR_HOST": address}))
        with serving(Service(Settings(model="m"), Timeline(), engine, pictures=pictures)) as number:
            yield number


def inside(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()}}


def asked(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}], "temperature": 0, "max_tokens": 12, **more}


def test_the_official_client_is_answered_as_by_transformers(port: int, seeing: Path, engine: Engine) -> None:
    """One image in the message, one in the bucket: the answer and the count of tokens are those of transformers."""
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="-", max_retries=0)
    stored: Any = {"type": "image_url", "image_url": {"url": "gs://bucket/m/two.png", "detail": "high"}}
    body = asked({"type": "text", "text": "Which one?"}, inside(picture(1)), stored, model="seeing", logprobs=True)
    told = client.chat.completions.create(**body)
    theirs = Transformers(seeing)
    ids, answer = theirs.answer([{"role": "user", "content": [said("Which one?"), shown(picture(1)), shown(picture(2))]}], 12)
    assert told.usage
    assert told.usage.prompt_tokens == len(ids)
    ends = [at for at, token in enumerate(answer) if token in {1, 5}]
    decoder = engine.text.decoder()
    assert told.choices[0].message.content == "".join(map(decoder.step, answer[: ends[0]] if ends else answer))


def test_tokens_are_counted_without_an_image(port: int) -> None:
    """/tokenize tells what a conversation takes; what its images show does not matter, so nothing is read."""
    message = {"role": "user", "content": [inside(b"none"), {"type": "text", "text": "?"}]}
    status, body, _ = call(port, "POST", "/tokenize", {"messages": [message]})
    assert status == 200
    assert body["tokens"].count(1026) == 4


@pytest.mark.parametrize(
    ("part", "code", "said_", "param"),
    [
        (inside(b"canary"), "unsupported_content", "must be whole", "messages.0.content.1"),
        ({"type": "image_url", "image_url": {"url": "https://canary.example/x"}}, "unsupported_content", "gs://bucket/m/", None),
        ({"type": "image_url", "image_url": {"url": "gs://bucket/m/words.txt"}}, "unsupported_content", "must be whole", None),
        ({"type": "image_url", "image_url": {"url": "gs://bucket/m/no.png"}}, "unsupported_content", "no such object", None),
        ({"type": "image_url"}, "invalid_request", "messages.0.content.1.image_url.url", None),
        ({"type": "input_audio", "input_audio": {}}, "unsupported_content", "text or image_url", "messages.0.content.1.type"),
        (inside(bytes(contract.IMAGE_BYTES + 1)), "body_too_large", str(contract.IMAGE_BODY_LIMIT), None),
    ],
)
def test_refusals(port: int, part: dict[str, Any], code: str, said_: str, param: str | None) -> None:
    """What is no image, is elsewhere or too large: OpenAI's error object with the part's place, and nothing of it repeated."""
    status, body, _ = call(port, "POST", CHAT, asked({"type": "text", "text": "?"}, part))
    error = body["error"]
    assert status in {400, 413}
    assert error["code"] == code
    assert said_ in error["message"]
    assert param is None or error["param"] == param
    assert "canary" not in json.dumps(body)


def test_too_many_images(port: int) -> None:
    """So many as a request may have, told with the number."""
    status, body, _ = call(port, "POST", CHAT, asked(*[inside(b"x")] * (contract.IMAGES_MOST + 1)))
    assert (status, body["error"]["code"]) == (400, "unsupported_content")
    assert str(contract.IMAGES_MOST) in body["error"]["message"]


def test_a_service_of_text_names_the_flag() -> None:
    """Without the wish an image is refused before its bytes are looked at, with what an operator would change."""
    with serving(Service(Settings(model="m"), Timeline(), Telling())) as number:  # type: ignore[arg-type]  # stands for an Engine
        status, body, _ = call(number, "POST", CHAT, asked(inside(b"x")))
        assert (status, body["error"]["code"], body["error"]["param"]) == (
            400,
            "unsupported_content",
            "messages.0.content.0.type",
        )
        assert "--images" in body["error"]["message"]
        status, body, _ = call(number, "POST", CHAT, asked(inside(bytes(1 << 20))))
        assert (status, body["error"]["code"]) == (413, "body_too_large")


def test_what_a_log_may_keep_of_an_image(engine: Engine) -> None:
    """A service that is told to log prompts logs words, not megabytes."""
    wish = chat_wish(engine, json.dumps(asked({"type": "text", "text": "Which?"}, inside(picture(1)))).encode())
    assert wish.prompt == "Which? [image]"
