"""A cloud in memory with the bucket `bkt`, and a hub on loopback, for the tests of copy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gemmactl.resources.cloud import BucketInfo
from tests.fakes.cloud import FakeCloud
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket
from tests.local.fake_hub import Hub
from tests.serving.copy_desk import LARGE


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud()
    made.storage.create_bucket(BucketInfo("bkt", "us-central1"))
    return made


@pytest.fixture
def hub() -> Bucket:
    bucket = Bucket()
    for name, data in LARGE.items():
        bucket.put(name, data)
    return bucket


@pytest.fixture
def environ(hub: Bucket) -> Iterator[dict[str, str]]:
    with fake_storage.running(hub, Hub) as here:
        yield {"HF_ENDPOINT": here}
