"""Bodies over TLS, received in large steps: every byte right through cuts, resets, silence and links that only dribble."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_image.chunks import open_source
from inference_image.chunks.source import Buffer, Object, Patience, Source
from inference_image.chunks.tls import TlsSocket
from inference_image.contract import Code, LoadFailed
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket, cut, dribble, stall, status, wrong_range

DATA = random.Random(5).randbytes(3_000_001)


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.put("m/model.safetensors", DATA)
    return made


@pytest.fixture(params=["http", "https"])
def source(request: pytest.FixtureRequest, bucket: Bucket, certificate: Path, patience: Patience) -> Iterator[Source]:
    with fake_storage.running(bucket, certificate=certificate if request.param == "https" else None) as address:
        environ = {"STORAGE_EMULATOR_HOST": address, "REQUESTS_CA_BUNDLE": str(certificate)}
        yield open_source("gs://bucket/m", environ, patience=patience)


def read(source: Source, begin: int, end: int) -> bytes:
    one = source.list()[0]
    buffer = Buffer(one.size)
    source.read(one, begin, end, buffer)
    return bytes(buffer.data[begin:end])


@pytest.mark.parametrize(("begin", "end"), [(0, len(DATA)), (5, 6), (1000, 1_100_000), (len(DATA) - 70_000, len(DATA))])
def test_every_byte_of_a_range(source: Source, begin: int, end: int) -> None:
    """From one byte to more than a socket holds, to the last byte and not beyond."""
    assert read(source, begin, end) == DATA[begin:end]


def test_one_connection_serves_many_ranges(source: Source, bucket: Bucket) -> None:
    """What is left in the buffers of one answer never leaks into the next."""
    one = source.list()[0]
    chance = random.Random(1)
    for _ in range(30):
        begin = chance.randrange(len(DATA))
        end = min(len(DATA), begin + chance.choice([1, 16_384, 16_385, 700_000]))
        buffer = Buffer(one.size)
        source.read(one, begin, end, buffer)
        assert bytes(buffer.data[begin:end]) == DATA[begin:end]


@pytest.mark.parametrize(
    "fault",
    [cut(0), cut(100_000), cut(1_500_000), cut(1_500_000, reset=True), cut(9, reset=True), status(503), wrong_range()],
    ids=["closed", "closed early", "closed late", "reset late", "reset early", "503", "wrong range"],
)
def test_a_broken_body_goes_on(source: Source, bucket: Bucket, fault: fake_storage.Fault) -> None:
    """After a fault in the middle of a step every byte is right."""
    bucket.faults = [fault, fault]
    assert read(source, 10, len(DATA)) == DATA[10:]
    assert bucket.faults == []
    assert sum(source.pulse.counts().values()) >= 1


def test_silence_in_a_body_is_left(source: Source, bucket: Bucket) -> None:
    """A connection that says nothing for longer than its limit is given up; what came is kept."""
    over = threading.Event()
    bucket.faults = [stall(1_500_000, over)]
    try:
        assert read(source, 0, len(DATA)) == DATA
    finally:
        over.set()
    assert source.pulse.counts() == {"stall": 1}
    first = bucket.asked[-1][1]["Range"]
    assert int(first.removeprefix("bytes=").partition("-")[0]) > 1_000_000


def test_a_link_that_dribbles_is_no_stall(source: Source, bucket: Bucket) -> None:
    """Bytes that come in drops are taken as drops: a wait for many of them must not look like silence."""
    never = threading.Event()
    bucket.faults = [dribble(60_000, never, 0.02)]
    assert read(source, 0, 2_000_000) == DATA[:2_000_000]
    assert source.pulse.counts() == {}


def test_a_certificate_that_nobody_vouches_for_is_refused(bucket: Bucket, certificate: Path, patience: Patience) -> None:
    """Without the bundle the store is a stranger."""
    with fake_storage.running(bucket, certificate=certificate) as address:
        source = open_source("gs://bucket/m", {"STORAGE_EMULATOR_HOST": address}, patience=patience)
        with pytest.raises(LoadFailed, match="certificate verify failed") as failed:
            source.list()
    assert failed.value.failure.code is Code.NETWORK_FAILED


def test_a_certificate_for_another_host_is_refused(bucket: Bucket, certificate: Path) -> None:
    """The name is checked, not only the signature."""
    context = ssl.create_default_context(cafile=certificate)
    with fake_storage.running(bucket, certificate=certificate) as address:
        plain = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
        with plain, pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            TlsSocket(plain, context, "storage.googleapis.com")


def test_a_plain_server_where_tls_is_expected_fails_by_name(bucket: Bucket, patience: Patience) -> None:
    """A handshake that gets nonsense is a failure of the network, not a crash."""
    with fake_storage.running(bucket) as address:
        environ = {"STORAGE_EMULATOR_HOST": address.replace("http:", "https:")}
        with pytest.raises(LoadFailed) as failed:
            open_source("gs://bucket/m", environ, patience=patience).list()
    assert failed.value.failure.code is Code.NETWORK_FAILED


def test_an_object_that_shrank_is_told(source: Source) -> None:
    """A range beyond the end of what is there now is another object."""
    with pytest.raises(LoadFailed) as failed:
        source.read(Object("model.safetensors", 10, "1001"), 0, 10, Buffer(10))
    assert failed.value.failure.code is Code.OBJECT_CHANGED
