"""What gcloud asks of Cloud Storage beyond the Python client. Seen on the wire of gcloud 528."""

from __future__ import annotations

import pytest
import requests

from .conftest import YOU, Cloud
from .test_storage import raw


@pytest.fixture
def bucket(cloud: Cloud):
    return cloud.storage().create_bucket("weights", location="us-central1")


def test_an_object_says_where_its_bytes_are(cloud: Cloud, bucket):
    """What gcloud downloads from, an object's mediaLink, leads back to the sandbox and to this generation's bytes."""
    bucket.blob("a b/c").upload_from_string(b"abc")
    for found in (bucket.get_blob("a b/c"), next(iter(cloud.storage().list_blobs("weights")))):
        assert found.media_link.startswith(f"{cloud.world.base_url}/download/storage/v1/b/weights/o/a%20b%2Fc?generation=")
        assert raw(cloud, found.media_link.removeprefix(cloud.world.base_url)).content == b"abc"


def test_what_gcloud_asks_beyond_the_client(cloud: Cloud, bucket):
    """Resumable uploads begin at apitools' own path, and a bucket's layout is looked at before it is removed."""
    auth = {"Authorization": f"Bearer {cloud.world.tokens.access(YOU)}"}
    url = f"{cloud.world.base_url}/resumable/upload/storage/v1/b/weights/o?uploadType=resumable"
    begun = requests.post(url, json={"name": "n"}, headers=auth, timeout=10)
    done = requests.put(begun.headers["location"], b"abc", headers=auth, timeout=10)
    assert (done.json()["size"], bucket.get_blob("n").download_as_bytes()) == ("3", b"abc")
    assert raw(cloud, "/storage/v1/b/weights/storageLayout").json()["locationType"] == "region"
