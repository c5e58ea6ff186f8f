"""Faults of a load over a network: each one fires, then leaves no trace or refuses by name."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from inference_image.chunks.arena import can_share
from inference_image.contract import Code
from inference_image.engine import load
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket, Fault, cut, stall, status, wrong_byte
from tests.inference_image.served import loaded, logits_of, refused

pytestmark = pytest.mark.skipif(not can_share(), reason="no files in memory here")

SHARD = "model-00002-of-00004.safetensors"


def fired(bucket: Bucket, faults: list[Fault | None]) -> Callable[[], bool]:
    """Put the faults in, and tell afterwards whether every one has struck."""
    struck: list[int] = []

    def counting(number: int, fault: Fault) -> Fault:
        def strike(handler: fake_storage.Handler, data: bytes, first: int, beyond: int) -> bool:
            struck.append(number)
            return fault(handler, data, first, beyond)

        return strike

    bucket.faults = [counting(number, fault) if fault else None for number, fault in enumerate(faults)]
    return lambda: len(struck) == sum(fault is not None for fault in faults)


def another_range(handler: fake_storage.Handler, data: bytes, first: int, beyond: int) -> bool:
    """The right bytes under another address; without one where there is no other."""
    if beyond < len(data):
        handler.part(data[first:beyond], first + 1, beyond + 1, len(data))
    else:
        handler.answer(206, data[first:beyond])
    return True


SURVIVED: dict[str, Fault] = {
    "503": status(503),
    "429 with Retry-After": status(429, Retry_After="0"),
    "408": status(408),
    "500": status(500),
    "reset before a byte": cut(0, reset=True),
    "reset inside": cut(7000, reset=True),
    "closed inside": cut(7000),
    "another range": another_range,
}


@pytest.mark.parametrize("what", list(SURVIVED))
def test_a_passing_fault_leaves_no_trace(sample_bucket: Bucket, reference: Any, what: str) -> None:
    """Every few requests one: the weights are bit-equal and every object is proven."""
    all_fired = fired(sample_bucket, [None, SURVIVED[what], None, None, SURVIVED[what], None, SURVIVED[what]])
    record = loaded(sample_bucket, reference)
    assert all_fired()
    assert all(one["verified"] for one in record["objects"])
    assert sum(record["reads"].get(kind, 0) for kind in ("retry", "broken")) >= 1


def test_a_silent_connection_is_left_and_told(sample_bucket: Bucket, reference: Any) -> None:
    """Bytes that stop coming are asked for again on a new connection, from where they stopped."""
    over = threading.Event()
    try:
        all_fired = fired(sample_bucket, [None, None, None, None, stall(7000, over)])
        record = loaded(sample_bucket, reference)
        assert all_fired()
        assert record["reads"]["stall"] >= 1
    finally:
        over.set()


def replace(handler: fake_storage.Handler, *_: object) -> bool:
    handler.bucket.put(f"m/{SHARD}", bytes(len(handler.bucket.objects[f"m/{SHARD}"])))
    return False


def remove(handler: fake_storage.Handler, *_: object) -> bool:
    handler.bucket.objects.pop(f"m/{SHARD}", None)
    return False


REFUSED: dict[str, tuple[Fault, Code]] = {
    "a wrong byte": (wrong_byte(), Code.CHECKSUM_MISMATCH),
    "overwritten": (replace, Code.OBJECT_CHANGED),
    "deleted": (remove, Code.SHARD_MISSING),
    "forbidden": (status(403), Code.ACCESS_DENIED),
    "unauthorized": (status(401), Code.ACCESS_DENIED),
    "a precondition": (status(412), Code.OBJECT_CHANGED),
    "shorter": (status(416), Code.OBJECT_CHANGED),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_a_fault_that_stays_refuses_by_name(sample_bucket: Bucket, what: str) -> None:
    """Half of one model and half of another is none; a refusal surfaces at once, without a second try."""
    fault, code = REFUSED[what]
    all_fired = fired(sample_bucket, [None] * 14 + [fault])
    assert refused(sample_bucket).failure.code is code
    assert all_fired()


def test_a_load_has_a_deadline(sample_bucket: Bucket) -> None:
    """A store that answers nothing any more ends the load by name instead of holding a GPU for ever."""
    over = threading.Event()
    sample_bucket.faults = [None] * 12 + [stall(0, over)] * 100
    try:
        failure = refused(sample_bucket, load_seconds=2, stall=60).failure
    finally:
        over.set()
    assert failure.code is Code.DEADLINE_EXCEEDED
    assert "GEMMACTL_LOAD_SECONDS" in failure.detail


class Metadata(fake_storage.Handler):
    """A metadata server whose tokens end while they are used."""

    given = 0

    def do_GET(self) -> None:
        body, kind = b"project", "text/plain"
        if "token" in self.path:
            type(self).given += 1
            self.bucket.objects["given"] = str(type(self).given).encode()
            body = json.dumps({"access_token": f"token-{type(self).given}", "expires_in": 3600}).encode()
            kind = "application/json"
        elif "service-accounts" in self.path:
            body, kind = b'{"email": "a@b", "scopes": []}', "application/json"
        self.answer(200, body, Metadata_Flavor="Google", Content_Type=kind)


@pytest.mark.parametrize("where", [{}, {"K_SERVICE": "gemma"}], ids=["a machine", "Cloud Run"])
def test_a_token_that_ends_mid_load_is_renewed(sample_bucket: Bucket, reference: Any, where: dict[str, str]) -> None:
    """401 in the middle: a new token, and the load goes on with every byte right."""
    import torch

    Metadata.given = 0
    sample_bucket.tokens = {"Bearer token-1", "Bearer token-2"}  # each reading process has one

    def expire(handler: fake_storage.Handler, *_: object) -> bool:
        handler.bucket.tokens = {f"Bearer token-{number}" for number in range(3, 9)}
        return False

    sample_bucket.faults = [None] * 10 + [expire]
    timeline = Timeline()
    with fake_storage.running(Bucket(), Metadata) as metadata, fake_storage.running(sample_bucket) as address:
        host = metadata.removeprefix("http://")
        settings = Settings(model="gs://bucket/m", threads=1, connections=4, chunk=50_000, reader="process")
        environ = {"STORAGE_EMULATOR_HOST": address, "GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, **where}
        engine = load(settings, environ=environ, timeline=timeline)
    assert torch.equal(logits_of(engine), reference)
    engine.close()
    assert timeline.record()["reads"]["renewed"] >= 1
