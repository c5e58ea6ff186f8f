"""Every kind of credential that a user may have, through a proxy and an authority of the user's own, to the real host names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import crc32c
import pytest

from inference_image.chunks.arena import can_share
from inference_image.chunks.crew import Pace
from inference_image.chunks.process import ProcessReaders
from inference_image.chunks.readers import Events
from inference_image.chunks.source import Done, Job
from tests.fakes.recorder import OAUTH, Recorder
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket

pytestmark = pytest.mark.skipif(not can_share(), reason="no files in memory here")

DATA = bytes(range(256)) * 5000
SOURCE = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
IMPERSONATE = (
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/run@p.iam.gserviceaccount.com:generateAccessToken"
)


class Google(fake_storage.Handler):
    """Cloud Storage, and the service that gives tokens of accounts."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert "generateAccessToken" in self.path
        assert self.headers["Authorization"] == "Bearer the-callers"
        answer = {"accessToken": "the-accounts", "expireTime": "2999-01-01T00:00:00Z"}
        self.answer(200, json.dumps(answer).encode(), Content_Type="application/json")


@pytest.fixture
def google(tmp_path: Path) -> Iterator[tuple[Recorder, Bucket]]:
    bucket = Bucket()
    bucket.put("m/model.safetensors", DATA)
    with fake_storage.running(bucket, Google) as address:
        recorder = Recorder(tmp_path, address.removeprefix("http://"), lambda: "the-callers", federated=lambda _body: "the-pools")
        yield recorder, bucket
        recorder.close()


KINDS: dict[str, tuple[dict[str, Any], str, set[str]]] = {
    "authorized_user": (SOURCE, "the-callers", {OAUTH}),
    "impersonated_service_account": (
        {"type": "impersonated_service_account", "service_account_impersonation_url": IMPERSONATE, "source_credentials": SOURCE},
        "the-accounts",
        {OAUTH, "iamcredentials.googleapis.com"},
    ),
    "external_account": (
        {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
        },
        "the-pools",
        {"sts.googleapis.com"},
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_reader_has_the_token_of_each_kind(google: tuple[Recorder, Bucket], tmp_path: Path, kind: str) -> None:
    """Through HTTPS_PROXY, trusting REQUESTS_CA_BUNDLE: a token by google-auth, and bytes over our own TLS."""
    recorder, bucket = google
    document, token, hosts = KINDS[kind]
    bucket.tokens = {f"Bearer {token}"}
    environ = recorder.environment()
    if kind == "external_account":
        (tmp_path / "subject").write_text("a.b.c")
        document = {**document, "credential_source": {"file": str(tmp_path / "subject")}}
    Path(environ["GOOGLE_APPLICATION_CREDENTIALS"]).write_text(json.dumps(document))
    events: Events = SimpleQueue()
    readers = ProcessReaders("gs://bucket/m", environ, Pace(2, 2), 15, events, 1)
    try:
        objects = {one.name: one for one in readers.list()}
        arena = readers.open(objects, len(DATA))
        readers.add([Job(1, "model.safetensors", 0, len(DATA), 0)])
        done = events.get(timeout=30)
    finally:
        readers.close()
    assert done == Done(1, crc32c.crc32c(DATA))
    assert bytes(arena.view(0, len(DATA))) == DATA
    # google-auth asks a few more questions of its own, all of them to Google
    assert recorder.hosts >= {"storage.googleapis.com", *hosts}
    assert all(host.endswith(".googleapis.com") for host in recorder.hosts)
