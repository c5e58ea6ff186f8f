"""Bodies over TLS, received in large steps: every byte right through cuts, resets, silence and links that only dribble."""

from __future__ import annotations

import ctypes.util
import random
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_image.chunks import open_source, openssl
from inference_image.chunks.openssl_library import tls_in_python
from inference_image.chunks.source import Buffer, Object, Patience, Source
from inference_image.chunks.tls import MemoryTls, Secured
from inference_image.contract import Code, LoadFailed
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket, closing, cut, dribble, mute, stall, status, wrong_range

DATA = random.Random(5).randbytes(3_000_001)


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.put("m/model.safetensors", DATA)
    return made


WAYS = ["openssl", "python"]


@pytest.fixture(params=["http", *WAYS])
def source(request: pytest.FixtureRequest, bucket: Bucket, certificate: Path, patience: Patience) -> Iterator[Source]:
    with fake_storage.running(bucket, certificate=None if request.param == "http" else certificate) as address:
        environ = {"STORAGE_EMULATOR_HOST": address, "REQUESTS_CA_BUNDLE": str(certificate), "GEMMACTL_TLS": request.param}
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


@pytest.mark.parametrize("way", ["http", *WAYS])
def test_who_waits_already_learns_from_the_others(bucket: Bucket, certificate: Path, way: str) -> None:
    """A first answer that doesn't come is given up by what other answers have shown meanwhile, not by what was known before."""
    over = threading.Event()
    with fake_storage.running(bucket, certificate=None if way == "http" else certificate) as address:
        environ = {"STORAGE_EMULATOR_HOST": address, "REQUESTS_CA_BUNDLE": str(certificate), "GEMMACTL_TLS": way}
        source = open_source("gs://bucket/m", environ, patience=Patience(stall=60, least=0.1))
        one, buffer = source.list()[0], Buffer(len(DATA))
        bucket.faults = [mute(over)]
        began = time.monotonic()
        assert source.pulse.silence(0) == 2.0

        def others() -> None:
            while bucket.faults:
                time.sleep(0.005)
            for _ in range(6):
                source.pulse.silent(0.01)

        learning = threading.Thread(target=others)
        learning.start()
        source.read(one, 0, len(DATA), buffer)
        seconds = time.monotonic() - began
        over.set()
        learning.join()
    assert bytes(buffer.data) == DATA
    assert source.pulse.counts() == {"stall": 1}
    assert seconds < 1.8


def test_a_link_that_dribbles_is_no_stall(source: Source, bucket: Bucket) -> None:
    """Bytes that come in drops are taken as drops: a wait for many of them must not look like silence."""
    never = threading.Event()
    bucket.faults = [dribble(60_000, never, 0.02)]
    assert read(source, 0, 2_000_000) == DATA[:2_000_000]
    assert source.pulse.counts() == {}


def test_openssl_itself_is_called_where_it_can_be() -> None:
    """With a Python that is linked to the system's OpenSSL, as in the image, nothing slower is used unless it is asked for."""
    if not sys.platform.startswith("linux") or ctypes.util.find_library("ssl") != "libssl.so.3":
        pytest.skip("no libssl.so.3 here")
    assert not tls_in_python({})
    assert tls_in_python({"GEMMACTL_TLS": "Python"})


def test_an_answer_that_closes_its_connection_is_read_to_its_end(source: Source, bucket: Bucket) -> None:
    """`Connection: close` is allowed at any time: what is on its way still arrives, and the next range gets a connection."""
    bucket.faults = [closing()]
    assert read(source, 3, len(DATA)) == DATA[3:]
    assert read(source, 0, 5) == DATA[:5]
    assert source.pulse.counts() == {}


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_that_nobody_vouches_for_is_refused(
    bucket: Bucket, certificate: Path, patience: Patience, way: str
) -> None:
    """Without the bundle the store is a stranger."""
    with fake_storage.running(bucket, certificate=certificate) as address:
        source = open_source("gs://bucket/m", {"STORAGE_EMULATOR_HOST": address, "GEMMACTL_TLS": way}, patience=patience)
        with pytest.raises(LoadFailed, match="certificate verify failed") as failed:
            source.list()
    assert failed.value.failure.code is Code.NETWORK_FAILED


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["storage.googleapis.com", "127.0.0.2"])
def test_a_certificate_for_another_host_is_refused(bucket: Bucket, certificate: Path, way: str, name: str) -> None:
    """The name or the address is checked, not only the signature."""
    with fake_storage.running(bucket, certificate=certificate) as address:
        plain = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
        with plain, pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            secure(plain, certificate, way, name)


def test_an_address_that_no_certificate_can_name_is_refused(bucket: Bucket, certificate: Path) -> None:
    """With a zone in it OpenSSL takes no address to check: then there is no connection rather than an unchecked one."""
    with fake_storage.running(bucket, certificate=certificate) as address:
        plain = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
        with plain, pytest.raises(ssl.SSLError, match="held to a certificate"):
            secure(plain, certificate, "openssl", "fe80::1%lo")


def secure(plain: socket.socket, certificate: Path, way: str, name: str) -> Secured:
    if way == "python":
        return MemoryTls(plain, ssl.create_default_context(cafile=certificate), name)
    return openssl.OpenSslSocket(plain, openssl.Trust(str(certificate)), name)


@pytest.mark.parametrize(
    ("version", "least"),
    [(ssl.TLSVersion.TLSv1_3, {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}), (ssl.TLSVersion.TLSv1_2, set())],
)
def test_the_cheaper_cipher_is_offered_first(certificate: Path, version: ssl.TLSVersion, least: set[str]) -> None:
    """A server that leaves the choice to its client encrypts with AES-128; the others are offered behind it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.maximum_version = version
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    here, there = socket.socketpair()
    there.settimeout(5)
    client = threading.Thread(target=lambda: secure(there, certificate, "openssl", "127.0.0.1"))
    client.start()
    with context.wrap_socket(here, server_side=True) as served:
        client.join()
        chosen, offered = served.cipher(), {name for name, *_ in served.shared_ciphers() or ()}
    assert chosen is not None
    assert re.search("AES_?128.GCM", chosen[0])
    assert least <= offered
    assert any("256" in name for name in offered)


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_waits_no_longer_than_its_timeout(bucket: Bucket, certificate: Path, way: str) -> None:
    """As a socket does; a timeout of 0 does not wait at all."""
    with fake_storage.running(bucket, certificate=certificate) as address:
        made = secure(socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 5), certificate, way, "127.0.0.1")
        made.settimeout(0.05)
        with pytest.raises(TimeoutError):
            made.recv_into(memoryview(bytearray(10)))
        made.settimeout(0)
        with pytest.raises(BlockingIOError):
            made.recv_into(memoryview(bytearray(10)))
        assert made.take(memoryview(bytearray(100_000))) == 0
        made.close()
        with pytest.raises((OSError, ValueError)):
            made.take(memoryview(bytearray(100_000)))


@pytest.mark.parametrize("way", WAYS)
def test_a_handshake_with_somebody_silent_ends(way: str, certificate: Path) -> None:
    """Whoever accepts and says nothing is given up after the socket's timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_connection(silent.getsockname(), 0.05) as plain:
        shaken = pytest.raises(TimeoutError)
        with shaken:
            secure(plain, certificate, way, "127.0.0.1")


def test_a_bundle_that_is_none_is_named(tmp_path: Path) -> None:
    """A file that is missing, or holds no certificate, fails before any connection."""
    with pytest.raises(FileNotFoundError, match="absent"):
        openssl.Trust(str(tmp_path / "absent.pem"))
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ssl.SSLError, match=r"empty\.pem"):
        openssl.Trust(str(tmp_path / "empty.pem"))


def test_all_authorities_are_believed_once_asked_to() -> None:
    """The one that is needed is found by its hash; the file with all of them is read when that was not enough, and once."""
    trust = openssl.Trust(None)
    trust.widen()
    assert not trust.widen()


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
