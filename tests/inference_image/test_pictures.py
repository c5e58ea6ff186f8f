"""Where images come from: the message, or a bucket that is allowed; everything else is refused and nothing of it repeated."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from inference_image import contract
from inference_image.chunks.single import Objects
from inference_image.chunks.source import Patience
from inference_image.contract import RequestCode
from inference_image.engine.request import Refused
from inference_image.server.pictures import Pictures
from inference_image.settings import Settings
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket

FIELD = "messages.0.content.1"
INSIDE = "data:image/png;base64," + base64.b64encode(b"a picture").decode()


def part(url: object) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


@pytest.fixture
def stored() -> Iterator[tuple[Bucket, Pictures]]:
    bucket = Bucket()
    bucket.hold.set()
    bucket.put("m/cat.png", b"a cat")
    bucket.put("m/deep/er/dog.png", b"a dog")
    bucket.put("mother/secret.png", b"no")
    bucket.put("m/large.png", bytes(contract.IMAGE_BYTES + 1))
    with fake_storage.running(bucket) as address:
        patience = Patience(attempts=2, sleep=lambda _: None)
        yield bucket, Pictures(("gs://bucket/m",), Objects({"STORAGE_EMULATOR_HOST": address}, patience))


def refused(pictures: Pictures, url: object) -> Refused:
    with pytest.raises(Refused) as raised:
        pictures.read(part(url), FIELD)
    assert raised.value.code is RequestCode.INVALID_REQUEST or raised.value.facts.get("param") in {FIELD, None}
    assert "canary" not in raised.value.message
    return raised.value


def test_inside_the_message() -> None:
    """A data URL is its bytes; the short form of the part is understood as well."""
    pictures = Pictures((), Objects({}))
    assert pictures.read(part(INSIDE), FIELD) == b"a picture"
    assert pictures.read({"type": "image_url", "image_url": INSIDE}, FIELD) == b"a picture"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://canary.example/cat.png", "data:image/...;base64,... only; other addresses are not read"),
        ("http://169.254.169.254/canary", "other addresses are not read"),
        ("file:///canary", "other addresses are not read"),
        ("data:text/html;base64,Y2FuYXJ5", "other addresses are not read"),
        ("data:image/png,canary", "other addresses are not read"),
        ("canary", "other addresses are not read"),
        ("data:image/png;base64,canary!", "base64 is broken"),
        ("data:image/png;base64,YQ==\n", "base64 is broken"),
        ("data:image/png;base64,\udc00aaa", "base64 is broken"),
        ("data:image/png;base64," + "A" * (contract.IMAGE_BYTES // 3 * 4 + 8), "12 MiB"),
        ("gs://bucket/canary.png", "no such place"),
    ],
)
def test_other_places(url: str, said: str) -> None:
    """No other address is read: a service must not become a way into a network."""
    refusal = refused(Pictures((), Objects({})), url)
    assert refusal.code is RequestCode.UNSUPPORTED_CONTENT
    assert said in refusal.message


@pytest.mark.parametrize("url", [None, 7, ["x"], {}])
def test_no_address(url: object) -> None:
    """A part without a text as its address is named."""
    refusal = refused(Pictures((), Objects({})), url)
    assert refusal.facts["fields"][0]["field"] == f"{FIELD}.image_url.url"


def test_in_the_models_bucket(stored: tuple[Bucket, Pictures]) -> None:
    """An object below an allowed place is read, without a list of its folder."""
    bucket, pictures = stored
    assert pictures.read(part("gs://bucket/m/cat.png"), FIELD) == b"a cat"
    assert pictures.read(part("gs://bucket/m/deep/er/dog.png"), FIELD) == b"a dog"
    assert not any("prefix=" in path for path, _ in bucket.asked)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gs://bucket/mother/secret.png", "or an object below gs://bucket/m/"),
        ("gs://bucket/m", "or an object below gs://bucket/m/"),
        ("gs://bucket/m/", "there is no such object"),
        ("gs://other/m/cat.png", "no such place"),
        ("gs://bucket/m/canary.png", "there is no such object"),
        ("gs://bucket/m/\udc00.png", "no such place"),
        ("gs://bucket/m/../mother/secret.png", "there is no such object"),
        ("gs://bucket/m/large.png", "12 MiB"),
    ],
)
def test_places_that_are_not_allowed(stored: tuple[Bucket, Pictures], url: str, said: str) -> None:
    """A neighbour whose name begins the same, another bucket, an object that is too large: refused, with what is allowed."""
    bucket, pictures = stored
    assert said in refused(pictures, url).message
    assert not any("/download/" in path for path, _ in bucket.asked)


def test_a_bucket_that_refuses(stored: tuple[Bucket, Pictures]) -> None:
    """An account without permission is told so; the store's own words, which may hold names, are not."""
    bucket, pictures = stored
    bucket.tokens = set()
    assert "may not read it" in refused(pictures, "gs://bucket/m/cat.png").message


def test_which_places_are_allowed() -> None:
    """The model's own bucket and those of the setting; a model from elsewhere allows none by itself."""
    own = Pictures.of(Settings(model="gs://bucket/m", image_sources=("gs://pictures",)), {})
    assert "gs://bucket/m/, gs://pictures/" in refused(own, "gs://no/x.png").message
    assert "base64,... only" in refused(Pictures.of(Settings(model="hf:google/gemma-3-4b-it"), {}), "gs://no/x.png").message
