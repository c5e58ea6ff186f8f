"""A container's token: asked of the metadata server, kept, renewed. The server is tests' own, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_image.chunks import open_source
from inference_image.chunks.credentials import MetadataCredentials
from inference_image.chunks.source import Patience
from inference_image.contract import Code, LoadFailed
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.put("models/m/config.json", b"{}")
    made.put("models/m/model.safetensors", b"weights")
    return made


@pytest.fixture
def address(bucket: Bucket) -> Iterator[str]:
    with fake_storage.running(bucket) as url:
        yield url


class Metadata(fake_storage.Handler):
    """The metadata server that Cloud Run gives a container."""

    def do_GET(self) -> None:
        body, kind = b"project", "text/plain"
        if "token" in self.path:
            body, kind = b'{"access_token": "from-metadata", "expires_in": 3600}', "application/json"
        elif "service-accounts" in self.path:
            body, kind = b'{"email": "a@b", "scopes": []}', "application/json"
        self.answer(200, body, Metadata_Flavor="Google", Content_Type=kind)


@pytest.mark.parametrize("where", [{"K_SERVICE": "gemma"}, {"CLOUD_RUN_JOB": "tune"}, {}], ids=["service", "job", "a machine"])
def test_the_metadata_servers_token_is_used(address: str, bucket: Bucket, where: dict[str, str]) -> None:
    """Its service account's token comes from the metadata server; on Cloud Run nothing large is imported for that."""
    bucket.tokens = {"Bearer from-metadata"}
    metadata = Bucket()
    code = (
        "import os; from inference_image.chunks import open_source;"
        " print(len(open_source('gs://bucket/models/m', os.environ).list()));"
        " import sys; print('google.auth' in sys.modules)"
    )
    with fake_storage.running(metadata, Metadata) as url:
        host = url.removeprefix("http://")
        environ = {"STORAGE_EMULATOR_HOST": address, "GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, **where}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environ, "PATH": os.environ["PATH"]}, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.stdout.split() == ["2", str(not where)], done.stderr


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, b"no such account", Code.ACCESS_DENIED), (500, b"busy", Code.NETWORK_FAILED), (200, b"<html>", Code.NETWORK_FAILED),
        (200, b'{"expires_in": 5}', Code.NETWORK_FAILED),
    ],
)  # fmt: skip
def test_a_metadata_server_without_a_token_is_told(
    address: str, bucket: Bucket, patience: Patience, status: int, body: bytes, code: Code
) -> None:
    """No account is a matter of access at once; a server that is busy, or answers nonsense, is tried again first."""

    class Odd(fake_storage.Handler):
        def do_GET(self) -> None:
            self.bucket.asked.append((self.path, dict(self.headers)))
            self.answer(status, body)

    odd = Bucket()
    with fake_storage.running(odd, Odd) as url:
        environ = {"STORAGE_EMULATOR_HOST": address, "GCE_METADATA_HOST": url.removeprefix("http://"), "K_SERVICE": "gemma"}
        source = open_source("gs://bucket/models/m", environ, patience=patience)
        with pytest.raises(LoadFailed) as failed:
            source.list()
    assert failed.value.failure.code is code
    assert (len(odd.asked) > 2) == (code is Code.NETWORK_FAILED)
    assert all(headers["Metadata-Flavor"] == "Google" for _, headers in odd.asked)
    assert bucket.asked == []


def test_a_metadata_token_lives_until_shortly_before_its_end(address: str, bucket: Bucket, patience: Patience) -> None:
    """One question for many reads; another one when the token is about to end or was refused."""
    bucket.tokens = {"Bearer from-metadata"}

    class Short(Metadata):
        def do_GET(self) -> None:
            self.bucket.asked.append((self.path, dict(self.headers)))
            seconds = 3600 if len(self.bucket.asked) > 2 else 200
            self.answer(200, b'{"access_token": "from-metadata", "expires_in": %d}' % seconds, Metadata_Flavor="Google")

    short = Bucket()
    with fake_storage.running(short, Short) as url:
        credentials = MetadataCredentials(url.removeprefix("http://"))
        asked = []
        for _ in range(5):
            assert credentials.header() == "Bearer from-metadata"
            asked.append(len(short.asked))
        credentials.renew("Bearer another one")
        credentials.header()
        credentials.renew("Bearer from-metadata")
        credentials.header()
    assert asked == [1, 2, 3, 3, 3]
    assert len(short.asked) == 4
