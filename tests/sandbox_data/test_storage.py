"""Cloud Storage of the sandbox, spoken to by the real google-cloud-storage client."""

from __future__ import annotations

import base64
import os

import google_crc32c
import pytest
import requests
from google.api_core import exceptions

from gemmactl.sandbox.stream_faults import StreamFault, stream_fault_of
from gemmactl.sandbox.wire import ApiError

from .conftest import RUN_SA, YOU, Cloud, boot, shut

MEMBER = f"serviceAccount:{RUN_SA}"


@pytest.fixture
def bucket(cloud: Cloud):
    return cloud.storage().create_bucket("weights", location="us-central1")


def raw(cloud: Cloud, path: str, email: str = YOU, **headers: str) -> requests.Response:
    auth = {"Authorization": f"Bearer {cloud.world.tokens.access(email)}"}
    return requests.get(cloud.world.base_url + path, headers={**auth, **headers}, timeout=10)


def test_a_bucket_is_created_read_patched_and_deleted(cloud: Cloud):
    """Settings come back as they were wished; a second creation says so; deletion is refused while objects are there."""
    client = cloud.storage()
    made = client.bucket("one")
    made.iam_configuration.uniform_bucket_level_access_enabled = True
    made.iam_configuration.public_access_prevention = "enforced"
    made.labels = {"managed-by": "gemmactl"}
    made.create(location="europe-west4")
    again = client.get_bucket("one")
    assert (again.location, again.labels) == ("EUROPE-WEST4", {"managed-by": "gemmactl"})
    assert again.iam_configuration.uniform_bucket_level_access_enabled
    assert again.iam_configuration.public_access_prevention == "enforced"
    with pytest.raises(exceptions.Conflict, match="already own it"):
        client.create_bucket("one")
    again.add_lifecycle_delete_rule(age=7)
    again.patch()
    assert [r["condition"]["age"] for r in client.get_bucket("one").lifecycle_rules] == [7]
    again.blob("x").upload_from_string("x")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        again.delete()
    again.delete(force=True)
    with pytest.raises(exceptions.NotFound, match="The specified bucket does not exist"):
        client.get_bucket("one")
    assert [b.name for b in client.list_buckets()] == []


def test_a_small_and_a_resumable_upload_come_back_whole(cloud: Cloud, bucket):
    """Multipart and resumable (several chunks) uploads store the same bytes with checksum and a growing generation."""
    data = os.urandom(1_300_000)
    small, large = bucket.blob("a/small"), bucket.blob("a/large", chunk_size=256 << 10)
    small.upload_from_string(data)
    large.upload_from_string(data)
    crc = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
    for blob in (bucket.get_blob("a/small"), bucket.get_blob("a/large")):
        assert (blob.size, blob.crc32c) == (len(data), crc)
        assert blob.download_as_bytes() == data
    assert large.generation > small.generation


def test_a_file_larger_than_the_servers_memory_limit_is_uploaded_whole(cloud: Cloud, bucket, tmp_path):
    """A body that the server keeps in a file takes the same way as one in memory."""
    file = tmp_path / "big"
    file.write_bytes(os.urandom(9 << 20))
    bucket.blob("big").upload_from_filename(str(file), checksum="crc32c")
    assert bucket.blob("big").download_as_bytes(checksum="crc32c") == file.read_bytes()


def test_an_interrupted_resumable_upload_goes_on_after_a_restart(tmp_path):
    """The session outlives the daemon: 308 tells how many bytes arrived, the rest completes the object."""
    world, server = boot(tmp_path / "home")
    cloud = Cloud(world)
    cloud.storage().create_bucket("weights")
    auth = {"Authorization": f"Bearer {world.tokens.access(YOU)}"}
    begun = requests.post(
        f"{world.base_url}/upload/storage/v1/b/weights/o?uploadType=resumable&name=x", headers=auth, json={}, timeout=5
    )
    session = begun.headers["Location"].removeprefix(world.base_url)
    data = os.urandom((256 << 10) + 5)
    first = requests.put(
        world.base_url + session,
        data=data[: 256 << 10],
        headers={**auth, "Content-Range": f"bytes 0-262143/{len(data)}"},
        timeout=5,
    )
    assert (first.status_code, first.headers["Range"]) == (308, "bytes=0-262143")
    shut(world, server)
    world, server = boot(tmp_path / "home")
    try:
        asked = requests.put(world.base_url + session, headers={**auth, "Content-Range": f"bytes */{len(data)}"}, timeout=5)
        assert (asked.status_code, asked.headers["Range"]) == (308, "bytes=0-262143")
        rest = {**auth, "Content-Range": f"bytes 262144-{len(data) - 1}/{len(data)}"}
        assert requests.put(world.base_url + session, data=data[256 << 10 :], headers=rest, timeout=5).status_code == 200
        assert Cloud(world).storage().bucket("weights").blob("x").download_as_bytes() == data
    finally:
        shut(world, server)


def test_a_range_is_a_206_with_the_hash_of_the_whole_object(cloud: Cloud, bucket):
    """Ranged reads carry generation and x-goog-hash; beyond the end is a 416."""
    bucket.blob("w/shard 1").upload_from_string(b"0123456789")
    path = "/storage/v1/b/weights/o/w%2Fshard%201?alt=media"
    part = raw(cloud, path, Range="bytes=2-5")
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"2345", "bytes 2-5/10")
    assert part.headers["x-goog-generation"] == str(bucket.get_blob("w/shard 1").generation)
    crc = base64.b64encode(google_crc32c.Checksum(b"0123456789").digest()).decode()
    assert f"crc32c={crc}" in part.headers["x-goog-hash"]
    assert raw(cloud, path, Range="bytes=-3").content == b"789"
    assert raw(cloud, path, Range="bytes=8-99").content == b"89"
    assert raw(cloud, path, Range="bytes=10-").status_code == 416
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        bucket.blob("w/shard 1").download_as_bytes(start=10, end=12)


def test_preconditions_and_generations(cloud: Cloud, bucket):
    """if_generation_match guards writes and reads with 412; an old generation is gone."""
    blob = bucket.blob("x")
    blob.upload_from_string("one", if_generation_match=0)
    first = blob.generation
    with pytest.raises(exceptions.PreconditionFailed, match="pre-conditions"):
        blob.upload_from_string("two", if_generation_match=0)
    blob.upload_from_string("two", if_generation_match=first)
    with pytest.raises(exceptions.NotFound, match="No such object: weights/x"):
        bucket.blob("x", generation=first).download_as_bytes()
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").download_as_bytes(if_generation_match=first)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=first)
    blob.metadata = {"k": "v"}
    blob.patch(if_metageneration_match=1)
    assert (blob.metageneration, blob.metadata) == (2, {"k": "v"})
    blob.delete(if_generation_match=blob.generation)
    assert not bucket.blob("x").exists()


def test_a_listing_has_pages_prefixes_and_delimiters(cloud: Cloud, bucket):
    """Pages in UTF-8 order without loss or repetition; folders are told apart by the delimiter."""
    names = [f"m/{i:03}" for i in range(7)] + ["m/sub/a", "m/sub/b", "m/sub2/c", "m/é", "other"]
    for name in names:
        bucket.blob(name).upload_from_string("")
    assert [b.name for b in bucket.list_blobs(prefix="m/", page_size=2)] == sorted(n for n in names if n != "other")
    listing = bucket.list_blobs(prefix="m/", delimiter="/", page_size=2)
    assert [b.name for b in listing] == [*(f"m/{i:03}" for i in range(7)), "m/é"]
    assert listing.prefixes == {"m/sub/", "m/sub2/"}


def test_an_object_is_copied_with_its_checksum(cloud: Cloud, bucket):
    """Rewrite makes a second object of the same bytes."""
    source = bucket.blob("a")
    source.upload_from_string(b"bytes", content_type="text/x")
    copy = bucket.copy_blob(source, bucket, "b/c")
    assert (copy.crc32c, copy.content_type, copy.download_as_bytes()) == (source.crc32c, "text/x", b"bytes")


def test_a_wrong_checksum_is_refused_and_leaves_nothing(cloud: Cloud, bucket):
    """An upload whose crc32c does not fit its bytes is a 400, and no object appears."""
    url = f"{cloud.world.base_url}/upload/storage/v1/b/weights/o?uploadType=media&name=x"
    headers = {"Authorization": f"Bearer {cloud.world.tokens.access(YOU)}", "X-Goog-Hash": "crc32c=AAAAAA=="}
    answer = requests.post(url, data=b"bytes", headers=headers, timeout=5)
    assert answer.status_code == 400
    assert "doesn't match calculated CRC32C" in answer.json()["error"]["message"]
    assert bucket.get_blob("x") is None


def test_a_denial_names_caller_and_permission(cloud: Cloud, bucket):
    """Without a role: 403 in Cloud Storage's words; with objectViewer on the bucket: readable, not writable."""
    bucket.blob("x").upload_from_string("x")
    cloud.world.store.put("service_accounts", RUN_SA, {"email": RUN_SA})
    theirs = cloud.storage(RUN_SA).bucket("weights")
    words = f"{RUN_SA} does not have storage.objects.get access to the Google Cloud Storage object. "
    words += "Permission 'storage.objects.get' denied"
    with pytest.raises(exceptions.Forbidden, match=words):
        theirs.blob("x").download_as_bytes()
    with pytest.raises(exceptions.Forbidden, match=words):
        theirs.blob("nothing there").download_as_bytes()
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {MEMBER}})
    bucket.set_iam_policy(policy)
    assert theirs.blob("x").download_as_bytes() == b"x"
    assert [b.name for b in theirs.list_blobs()] == ["x"]
    with pytest.raises(exceptions.NotFound):
        theirs.blob("nothing there").download_as_bytes()
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.create"):
        theirs.blob("y").upload_from_string("y")
    asked = ["storage.objects.get", "storage.objects.create"]
    assert theirs.test_iam_permissions(asked) == ["storage.objects.get"]


def test_a_policy_with_an_old_etag_or_a_public_member_is_refused(cloud: Cloud):
    """Concurrent policy changes are told; public access prevention forbids allUsers."""
    made = cloud.storage().bucket("closed")
    made.iam_configuration.public_access_prevention = "enforced"
    made.create()
    old, new = made.get_iam_policy(), made.get_iam_policy()
    new["roles/storage.objectViewer"] = {f"user:{YOU}"}
    made.set_iam_policy(new)
    old["roles/storage.objectAdmin"] = {f"user:{YOU}"}
    with pytest.raises(exceptions.GoogleAPICallError):
        made.set_iam_policy(old)
    public = made.get_iam_policy()
    public["roles/storage.objectViewer"].add("allUsers")
    with pytest.raises(exceptions.PreconditionFailed, match="public access prevention"):
        made.set_iam_policy(public)


def test_an_unknown_field_of_a_bucket_is_a_400_that_names_it(cloud: Cloud):
    """A misspelt setting can't be swallowed."""
    url = f"{cloud.world.base_url}/storage/v1/b?project=gemmactl-sandbox"
    headers = {"Authorization": f"Bearer {cloud.world.tokens.access(YOU)}"}
    answer = requests.post(url, json={"name": "abc", "iamConfigration": {}}, headers=headers, timeout=5)
    assert (answer.status_code, '"iamConfigration"' in answer.json()["error"]["message"]) == (400, True)


def test_objects_survive_a_restart_and_halves_do_not(tmp_path):
    """What was complete is there again; scratch files and bytes without metadata are swept."""
    world, server = boot(tmp_path / "home")
    Cloud(world).storage().create_bucket("weights").blob("x").upload_from_string("whole")
    shut(world, server)
    folder = tmp_path / "home" / "storage" / "weights"
    (folder / "abc.part").write_bytes(b"half")
    (folder / "99.bytes").write_bytes(b"no metadata")
    world, server = boot(tmp_path / "home")
    try:
        assert Cloud(world).storage().bucket("weights").blob("x").download_as_bytes() == b"whole"
        assert sorted(p.suffix for p in folder.iterdir()) == [".bytes", ".json", ".meta"]
    finally:
        shut(world, server)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (StreamFault("status", status=503), "503"),
        (StreamFault("status", status=429), "429"),
        (StreamFault("reset"), "cut"),
        (StreamFault("broken", after=4), "cut"),
        (StreamFault("corrupt", after=4), "other bytes"),
    ],
)
def test_each_fault_strikes_once_and_is_over(cloud: Cloud, bucket, fault, seen):
    """503, 429, a reset, a broken stream and a flipped byte happen as ordered; the next read is good."""
    bucket.blob("x").upload_from_string(b"0123456789")
    cloud.world.storage.faults.add(fault)
    path = "/download/storage/v1/b/weights/o/x?alt=media"
    try:
        answer = raw(cloud, path)
        got = (
            str(answer.status_code)
            if answer.status_code != 200
            else "other bytes"
            if answer.content != b"0123456789"
            else "all well"
        )
    except requests.exceptions.RequestException:
        got = "cut"
    assert got == seen
    assert raw(cloud, path).content == b"0123456789"
    assert len(cloud.world.storage.faults.struck) == 1


def test_a_stalled_stream_goes_on_when_it_is_let(cloud: Cloud, bucket):
    """A stall sends the first bytes and then nothing, until the test lets it go on."""
    bucket.blob("x").upload_from_string(b"0123456789")
    fault = cloud.world.storage.faults.add(StreamFault("stall", after=4))
    auth = {"Authorization": f"Bearer {cloud.world.tokens.access(YOU)}"}
    answer = requests.get(f"{cloud.world.base_url}/storage/v1/b/weights/o/x?alt=media", headers=auth, stream=True, timeout=5)
    assert answer.raw.read(4) == b"0123"
    fault.stall.set()
    assert answer.raw.read() == b"456789"


def test_a_stream_fault_can_be_ordered_as_json(cloud: Cloud, bucket):
    """What the admin's route takes: known kinds and fields only; clear() calls off what has not struck."""
    bucket.blob("x").upload_from_string(b"0123456789")
    faults = cloud.world.storage.faults
    faults.add(stream_fault_of({"kind": "stall", "match": "x", "after": 2, "seconds": 0.05}))
    faults.add(stream_fault_of({"kind": "status", "status": 429}))
    path = "/storage/v1/b/weights/o/x?alt=media"
    assert raw(cloud, path).content == b"0123456789"
    faults.clear()
    assert raw(cloud, path).status_code == 200
    for wrong in ({"kind": "flood"}, {"kind": "stall", "stall": True}, {}):
        with pytest.raises(ApiError, match="a stream fault has a kind of"):
            stream_fault_of(wrong)
