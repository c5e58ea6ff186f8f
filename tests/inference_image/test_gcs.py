"""Reading from Cloud Storage: pins, ranges, faults and what each refusal is called. The store is tests' own, on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_image.chunks import open_source
from inference_image.chunks.credentials import GoogleCredentials
from inference_image.chunks.source import Buffer, Object, Patience, Source
from inference_image.contract import Code, LoadFailed
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket, cut, stall, status, wrong_range

ROOT = Path(__file__).parents[2]
DATA = bytes(range(256)) * 40


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.put("models/m/config.json", b"{}")
    made.put("models/m/model.safetensors", DATA)
    return made


@pytest.fixture
def address(bucket: Bucket) -> Iterator[str]:
    with fake_storage.running(bucket) as url:
        yield url


@pytest.fixture
def source(address: str, patience: Patience) -> Source:
    return open_source("gs://bucket/models/m", {"STORAGE_EMULATOR_HOST": address}, patience=patience)


def shard_of(source: Source) -> Object:
    return next(one for one in source.list() if one.name == "model.safetensors")


def read(source: Source, one: Object, begin: int = 0, end: int | None = None) -> bytes:
    buffer = Buffer(one.size)
    source.read(one, begin, one.size if end is None else end, buffer)
    return bytes(buffer.data[begin:end])


def test_list_gives_size_generation_and_sum(source: Source) -> None:
    """Objects come with what pins and checks them, under names without the prefix."""
    first, second = source.list()
    assert (first.name, first.size, first.generation) == ("config.json", 2, "1001")
    assert second.crc32c is not None


def test_list_holds_what_gemmactl_wrote_and_no_other_folder(source: Source, bucket: Bucket) -> None:
    """Corrections beside the weights are found; other folders are not walked through, however much lies in them."""
    for name in ("gemmactl/overrides.json", "gemmactl/deep/x.json", "checkpoint-500/optimizer.pt", "gemmactl-old/x.json"):
        bucket.put(f"models/m/{name}", b"{}")
    bucket.put("gemmactl/overrides.json", b"{}")
    assert [one.name for one in source.list()] == ["config.json", "gemmactl/overrides.json", "model.safetensors"]
    assert read(source, source.list()[1]) == b"{}"
    assert all("delimiter=%2F" in path for path, _ in bucket.asked[:2])


def test_list_reads_every_page(source: Source, bucket: Bucket) -> None:
    """A list in several answers is one list."""
    bucket.page = 1
    assert len(source.list()) == 2


def test_a_range_is_exactly_that_range(source: Source, bucket: Bucket) -> None:
    """Bytes [begin, end), with the generation of the list as precondition."""
    one = shard_of(source)
    assert read(source, one, 100, 777) == DATA[100:777]
    path, headers = bucket.asked[-1]
    assert headers["Range"] == "bytes=100-776"
    assert "ifGenerationMatch=1001" in path


def test_connections_are_used_again(source: Source, bucket: Bucket) -> None:
    """Reads of one thread share a connection: each new one would cost round trips and a TLS handshake."""
    one = shard_of(source)
    ports = []

    class Seen(fake_storage.Handler):
        def media(self, name: str, query: dict[str, str]) -> None:
            ports.append(self.client_address[1])
            super().media(name, query)

    with fake_storage.running(bucket, Seen) as url:
        again = open_source("gs://bucket/models/m", {"STORAGE_EMULATOR_HOST": url})
        for begin in range(0, 1000, 100):
            read(again, one, begin, begin + 100)
    assert len(ports) == 10
    assert len(set(ports)) == 1


@pytest.mark.parametrize(
    "fault",
    [status(503), status(429), status(408), status(500), cut(0), cut(700), cut(700, reset=True), wrong_range()],
    ids=["503", "429", "408", "500", "closed", "truncated", "reset", "wrong-range"],
)
def test_passing_faults_leave_no_trace(source: Source, bucket: Bucket, fault: fake_storage.Fault) -> None:
    """After a fault that passes, every byte is right."""
    one = shard_of(source)
    bucket.faults = [fault, fault]
    assert read(source, one, 50, 5000) == DATA[50:5000]


def test_a_broken_read_goes_on_where_it_broke(source: Source, bucket: Bucket) -> None:
    """Received bytes aren't asked for again."""
    one = shard_of(source)
    bucket.faults = [cut(700)]
    read(source, one, 0, 5000)
    assert bucket.asked[-1][1]["Range"] == "bytes=700-4999"


def test_a_silent_connection_is_given_up(source: Source, bucket: Bucket) -> None:
    """A stall longer than the socket's limit becomes a new request."""
    one = shard_of(source)
    over = threading.Event()
    bucket.faults = [stall(10, over)]
    try:
        assert read(source, one, 0, 5000) == DATA[:5000]
    finally:
        over.set()


def test_waits_grow_and_end(source: Source, bucket: Bucket, waits: list[float]) -> None:
    """Backoff doubles; after the last try the load fails as network_failed with what went wrong."""
    one = shard_of(source)
    bucket.faults = [status(503)] * 5
    with pytest.raises(LoadFailed, match="503") as failed:
        read(source, one)
    assert failed.value.failure.code is Code.NETWORK_FAILED
    assert waits == [0.25, 0.5, 1.0, 2.0]


def test_retry_after_is_obeyed(source: Source, bucket: Bucket, waits: list[float]) -> None:
    """The store's own wish to wait counts."""
    one = shard_of(source)
    bucket.faults = [status(429, Retry_After="3")]
    read(source, one)
    assert waits == [3.0]


def test_an_overwritten_object_is_object_changed(source: Source, bucket: Bucket) -> None:
    """A model that is replaced during its load is never mixed."""
    one = shard_of(source)
    bucket.put("models/m/model.safetensors", DATA)
    with pytest.raises(LoadFailed) as failed:
        read(source, one)
    assert failed.value.failure.code is Code.OBJECT_CHANGED


def test_a_deleted_object_is_shard_missing(source: Source, bucket: Bucket) -> None:
    """404 on an object names the object."""
    one = shard_of(source)
    del bucket.objects["models/m/model.safetensors"]
    with pytest.raises(LoadFailed) as failed:
        read(source, one)
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.SHARD_MISSING, "model.safetensors")


@pytest.mark.parametrize(
    ("number", "code"),
    [(403, Code.ACCESS_DENIED), (401, Code.ACCESS_DENIED), (404, Code.MODEL_NOT_FOUND), (400, Code.NETWORK_FAILED)],
)
def test_refused_lists_have_their_own_codes(source: Source, bucket: Bucket, number: int, code: Code) -> None:
    """What the store says is repeated, under the code that doctor knows."""
    bucket.list_status = number
    with pytest.raises(LoadFailed, match="what the store says") as failed:
        source.list()
    assert failed.value.failure.code is code


def test_an_empty_prefix_is_model_not_found(address: str, patience: Patience) -> None:
    """A prefix without objects is no model."""
    source = open_source("gs://bucket/models/other", {"STORAGE_EMULATOR_HOST": address}, patience=patience)
    with pytest.raises(LoadFailed) as failed:
        source.list()
    assert failed.value.failure.code is Code.MODEL_NOT_FOUND


def test_nobody_there_is_network_failed(patience: Patience) -> None:
    """A refused connection is tried again, then told."""
    source = open_source("gs://bucket/m", {"STORAGE_EMULATOR_HOST": "127.0.0.1:1"}, patience=patience)
    with pytest.raises(LoadFailed) as failed:
        source.list()
    assert failed.value.failure.code is Code.NETWORK_FAILED


class Tokens:
    """Credentials whose first token is stale."""

    def __init__(self, *tokens: str) -> None:
        self.left = list(tokens)

    def header(self) -> str:
        return f"Bearer {self.left[0]}"

    def renew(self, refused: str) -> None:
        if refused != self.header():
            return
        if len(self.left) == 1:
            raise LoadFailed(Code.ACCESS_DENIED, "credentials", "refused")
        self.left.pop(0)


def test_a_token_that_many_readers_lose_is_renewed_once() -> None:
    """Sixteen readers are refused at the same moment: the first one drops the token, the others find that done."""

    class Inner:
        token = "old"

    credentials = GoogleCredentials()
    credentials._inner = Inner()
    for _ in range(16):
        credentials.renew("Bearer old")
    assert credentials._inner.token is None
    assert credentials._refused == 1


def test_a_stale_token_is_renewed(address: str, bucket: Bucket, patience: Patience) -> None:
    """401 asks for a new token and goes on."""
    bucket.tokens = {"Bearer new"}
    environ = {"STORAGE_EMULATOR_HOST": address}
    source = open_source("gs://bucket/models/m", environ, patience=patience, credentials=Tokens("old", "new"))
    assert len(source.list()) == 2


def test_refused_tokens_are_access_denied(address: str, bucket: Bucket, patience: Patience) -> None:
    """Credentials that the store doesn't take end the load; no token is in the text."""
    bucket.tokens = {"Bearer new"}
    environ = {"STORAGE_EMULATOR_HOST": address}
    source = open_source("gs://bucket/models/m", environ, patience=patience, credentials=Tokens("secret-token"))
    with pytest.raises(LoadFailed) as failed:
        source.list()
    assert failed.value.failure.code is Code.ACCESS_DENIED
    assert "secret-token" not in str(failed.value)


def test_an_emulator_gets_no_credentials_unasked(address: str, bucket: Bucket, patience: Patience) -> None:
    """Without credentials named on purpose nothing is sent to STORAGE_EMULATOR_HOST."""
    open_source("gs://bucket/models/m", {"STORAGE_EMULATOR_HOST": address}, patience=patience).list()
    assert all("Authorization" not in headers for _, headers in bucket.asked)


@pytest.mark.parametrize("uri", ["gs://", "s3://bucket/x", "hf:noslash"])
def test_places_that_are_none_are_refused(uri: str) -> None:
    """A model's place that can't be read is a wrong setting."""
    with pytest.raises(LoadFailed) as failed:
        open_source(uri, {})
    assert failed.value.failure.code is Code.SETTING_INVALID
