"""What Cloud Storage of the sandbox keeps of replaced and deleted objects, through the real google-cloud-storage client."""

from __future__ import annotations

import pytest
from google.api_core import exceptions

from .conftest import Cloud, boot, shut


@pytest.fixture
def bucket(cloud: Cloud):
    return cloud.storage().create_bucket("weights", location="us-central1")


def test_what_is_replaced_or_deleted_is_kept_for_a_while(cloud: Cloud, bucket):
    """Soft delete: listed alone, not readable, restored as a new generation; what it replaces is soft-deleted in its turn."""
    client, blob = cloud.storage(), bucket.blob("m/x")
    blob.upload_from_string(b"one")
    first = blob.generation
    blob.upload_from_string(b"two")
    second = blob.generation
    assert [(b.name, b.generation) for b in client.list_blobs(bucket, soft_deleted=True)] == [("m/x", first)]
    assert [b.generation for b in client.list_blobs(bucket)] == [second]
    with pytest.raises(exceptions.NotFound):
        bucket.blob("m/x", generation=first).download_as_bytes()
    restored = bucket.restore_blob("m/x", generation=first)
    assert restored.generation not in (first, second)
    assert bucket.blob("m/x").download_as_bytes() == b"one"
    assert {b.generation for b in client.list_blobs(bucket, soft_deleted=True)} == {first, second}
    bucket.blob("m/x").delete()
    assert list(client.list_blobs(bucket)) == []
    with pytest.raises(exceptions.NotFound):
        bucket.restore_blob("m/x", generation=1)
    bucket.delete()


def test_a_versioned_bucket_keeps_what_is_replaced(tmp_path):
    """Noncurrent versions are listed with `versions`, read by generation, survive a restart, and are deleted for good by name."""
    world, server = boot(tmp_path)
    try:
        bucket = Cloud(world).storage().bucket("kept")
        bucket.versioning_enabled = True
        bucket.create(location="us-central1")
        blob = bucket.blob("x")
        blob.upload_from_string(b"one")
        first = blob.generation
        blob.upload_from_string(b"two")
    finally:
        shut(world, server)
    world, server = boot(tmp_path)
    try:
        client = Cloud(world).storage()
        bucket = client.bucket("kept")
        assert bucket.blob("x", generation=first).download_as_bytes() == b"one"
        assert bucket.blob("x").download_as_bytes() == b"two"
        assert next(b.generation for b in client.list_blobs("kept", versions=True)) == first
        bucket.blob("old").rewrite(bucket.blob("x", generation=first))
        assert bucket.blob("old").download_as_bytes() == b"one"
        bucket.blob("x", generation=first).delete()
        assert len(list(client.list_blobs("kept", versions=True))) == 2
        assert [b.generation for b in client.list_blobs("kept", soft_deleted=True)] == [first]
    finally:
        shut(world, server)
