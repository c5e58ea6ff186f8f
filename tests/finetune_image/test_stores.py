"""What every Store must do, on a folder and on a bucket of the sandbox; and what only a bucket can suffer."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import crc32c
import pytest

from finetune_image.contract import TuneFailed
from finetune_image.gcs import Bucket
from finetune_image.store import ABSENT, Clash, Folder, Store, open_store
from gemmactl.sandbox.metadata import Identity, MetadataServer
from tests.finetune_image.buckets import NAME, WORKER, Place, storage

ROOT = Path(__file__).parents[2]

QUANTUM = 256 << 10


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with storage(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def clean(place: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    yield place
    place.world.faults.clear()


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Folder(tmp_path / "place").at("run")
    return place.bucket(f"contract/{request.node.name}", piece=QUANTUM)


def test_an_object_is_whole_or_absent(store: Store) -> None:
    """What was written is read, in part too, with its size and checksum; what isn't there is None; a second delete is done."""
    assert (store.stat("a/b.txt"), store.read("a/b.txt"), store.read("a/b.txt", 1, 2), store.list()) == (None, None, None, ())
    held = store.write("a/b.txt", b"hello")
    assert (held.name, held.size, held.crc32c) == ("a/b.txt", 5, crc32c.crc32c(b"hello"))
    assert store.stat("a/b.txt") == held
    assert [store.read("a/b.txt", *r) for r in ((), (1,), (1, 3), (4, 99), (5,), (3, 3))] == [
        b"hello",
        b"ello",
        b"el",
        b"o",
        b"",
        b"",
    ]
    store.delete("a/b.txt")
    store.delete("a/b.txt")
    assert store.stat("a/b.txt") is None


def test_a_list_is_by_name_and_prefix_at_any_depth(store: Store, tmp_path: Path) -> None:
    """A prefix is one of names, not of folders, and `at` is the same place from further below."""
    (tmp_path / "file").write_bytes(b"from a file")
    for name in ("b", "a/1", "a/2/deep", "ab"):
        store.write(name, tmp_path / "file")
    assert [h.name for h in store.list()] == ["a/1", "a/2/deep", "ab", "b"]
    assert [h.name for h in store.list("a")] == ["a/1", "a/2/deep", "ab"]
    assert [h.name for h in store.at("a").list()] == ["1", "2/deep"]
    assert store.at("a").at("2").read("deep") == b"from a file"
    assert store.at("a").uri == f"{store.uri}/a"
    assert store.list("a/1") == (store.stat("a/1"),)


def test_only_if_lets_nobody_overwrite_another(store: Store) -> None:
    """ABSENT makes, a generation replaces just that one, anything else is a Clash that changes nothing."""
    first = store.write("LATEST", b"one", only_if=ABSENT)
    with pytest.raises(Clash):
        store.write("LATEST", b"two", only_if=ABSENT)
    with pytest.raises(Clash):
        store.pour("LATEST", 3, (b"two",), only_if=ABSENT)
    second = store.pour("LATEST", 3, (b"two",), only_if=first.generation)
    with pytest.raises(Clash):
        store.write("LATEST", b"three", only_if=first.generation)
    assert (store.stat("LATEST"), store.read("LATEST")) == (second, b"two")
    assert store.write("LATEST", b"four").generation != second.generation


@pytest.mark.parametrize("size", [0, 1, QUANTUM, 2 * QUANTUM, 2 * QUANTUM + 7])
def test_what_is_poured_comes_together(store: Store, size: int) -> None:
    """Pieces of any length and kind of bytes, also none at all, become one object with the right checksum."""
    whole = bytes(range(256)) * (size // 256) + bytes(size % 256)
    cuts = sorted({0, min(3, size), size // 3, size // 2 + 1 if size else 0, size})
    pieces = [memoryview(bytearray(whole[a:b])) for a, b in itertools.pairwise(cuts)]
    held = store.pour("shard", size, iter(pieces), only_if=ABSENT)
    assert (held.size, held.crc32c) == (size, crc32c.crc32c(whole))
    assert store.read("shard") == whole


def test_a_pour_that_breaks_leaves_nothing(store: Store) -> None:
    """What the iterable raises comes out; too few or too many bytes are a fault: no object either way."""

    def breaking() -> Iterator[bytes]:
        yield bytes(2 * QUANTUM)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pour("shard", 3 * QUANTUM, breaking())
    for size in (2, 4):
        with pytest.raises(ValueError, match="shard"):
            store.pour("shard", size, (b"abc",))
    assert store.list() == ()


def test_a_copy_stays_in_the_place(store: Store, tmp_path: Path) -> None:
    """Of the same kind of place it is made there, under the same condition; of another kind it can't be."""
    other = store.at("other")
    made = other.write("a", b"weights")
    copied = store.copy(other, "a", "b/c", only_if=ABSENT)
    assert copied is not None
    assert (copied.name, copied.size, copied.crc32c, store.read("b/c")) == ("b/c", 7, made.crc32c, b"weights")
    with pytest.raises(Clash):
        store.copy(other, "a", "b/c", only_if=ABSENT)
    with pytest.raises(FileNotFoundError):
        store.copy(other, "never", "b/d")
    strange: Store = Folder(tmp_path) if isinstance(store, Bucket) else Bucket("gs://strange", {})
    assert store.copy(strange, "a", "b/e") is None


# --- a bucket alone -------------------------------------------------------------------------------
def test_a_refusal_names_the_permission_and_the_grant(clean: Place) -> None:
    """Who may only read is told what is missing and the command that gives it; nothing is tried twice."""
    reader = "reader@gemmactl-sandbox.iam.gserviceaccount.com"
    clean.admit(reader, "roles/storage.objectViewer")
    waits: list[float] = []
    with pytest.raises(TuneFailed) as denied:
        clean.bucket("x", reader, waits=waits).write("a", b"")
    failure = denied.value.failure
    assert (failure.code, failure.where, waits) == ("access_denied", "gs://weights/x/a", [])
    assert "storage.objects.create" in failure.detail
    assert f"gs://weights --member=serviceAccount:{reader} --role=roles/storage.objectUser" in failure.advice[0]
    with pytest.raises(TuneFailed) as stranger:
        clean.bucket("x", "stranger@gemmactl-sandbox.iam.gserviceaccount.com").list()
    assert "roles/storage.objectViewer" in stranger.value.failure.advice[0]


def test_a_job_waits_for_a_fresh_grant(clean: Place) -> None:
    """Inside a job the very first requests may be refused for a while; once one was let in, a refusal is one."""
    late = "late@gemmactl-sandbox.iam.gserviceaccount.com"
    waits: list[float] = []
    job = clean.bucket("x", late, waits=waits, environ={"CLOUD_RUN_EXECUTION": "finetune-x-abcde"})
    with pytest.raises(TuneFailed, match=r"storage\.objects\.get"):
        job.read("a")
    assert sum(waits) == 90
    waits.clear()
    clean.admit(late, "roles/storage.objectViewer")
    assert job.at("y").read("a") is None
    with pytest.raises(TuneFailed, match=r"storage\.objects\.create"):
        job.write("a", b"")
    assert waits == []


def test_a_bucket_that_is_not_there_is_said(clean: Place) -> None:
    """It is a mistake in the run, not an empty place."""
    nowhere = clean.bucket("x", name="nowhere")
    for ask in (nowhere.list, lambda: nowhere.stat("a"), lambda: nowhere.write("a", b"")):
        with pytest.raises(TuneFailed, match=r"run_invalid.*bucket does not exist"):
            ask()
    with pytest.raises(TuneFailed, match="run_invalid"):
        open_store("gs:///x", {})


def test_passing_trouble_passes(clean: Place) -> None:
    """503s and cut connections are tried again; trouble that stays is network_failed with its own words."""
    bucket = clean.bucket("trouble", piece=QUANTUM)
    data = bytes(5 * QUANTUM + 3)
    for match, status in (("POST /upload", "UNAVAILABLE"), ("PUT /upload", "reset"), ("GET", "INTERNAL"), ("DELETE", "reset")):
        clean.fault(match, status=status, after=1 if match.startswith("PUT") else 0, times=2)
    assert bucket.pour("shard", len(data), (data,), only_if=ABSENT).crc32c == crc32c.crc32c(data)
    assert bucket.read("shard") == data
    bucket.delete("shard")
    assert bucket.list() == ()
    clean.fault("GET", times=0)
    with pytest.raises(TuneFailed, match=r"network_failed: gs://weights/trouble/a: 4 tries in a row failed.*503.*unavailable"):
        bucket.stat("a")


@pytest.mark.parametrize("after", range(4))
def test_a_lost_answer_is_no_clash(clean: Place, after: int) -> None:
    """An upload whose answer was lost at any piece, the last one too, is one object: ours, and no second is made."""
    bucket = clean.bucket(f"lost-{after}", piece=QUANTUM)
    lost = clean.fault("(PUT|POST) /upload", status="reset", when="after", after=after)
    data = bytes(2 * QUANTUM + 3)
    held = bucket.pour("shard", len(data), (data,), only_if=ABSENT)
    assert (lost.hits, bucket.list()) == (1, (held,))
    clean.fault("POST /upload", status="reset", when="after")
    small = bucket.write("small", b"x", only_if=ABSENT)
    assert bucket.stat("small") == small
    clean.fault("POST .*rewriteTo", status="reset", when="after")
    assert bucket.copy(bucket, "small", "twin", only_if=ABSENT) == bucket.stat("twin")


def test_a_lost_answer_after_another_was_first_is_a_clash(clean: Place) -> None:
    """An object of other bytes is never taken for ours."""
    bucket = clean.bucket("first")
    bucket.write("small", b"theirs")
    clean.fault("POST /upload", status="reset")
    with pytest.raises(Clash):
        bucket.write("small", b"ours!!", only_if=ABSENT)
    assert bucket.read("small") == b"theirs"


def test_without_credentials_named_on_purpose_none_travel_to_an_emulator(clean: Place) -> None:
    """The sandbox sees nobody: a machine's own login is not sent wherever STORAGE_EMULATOR_HOST points."""
    with pytest.raises(TuneFailed, match=r"access_denied.*401"):
        Bucket(f"gs://{NAME}", clean.environ).stat("a")


def test_in_a_container_the_token_is_the_metadata_server_s(clean: Place) -> None:
    """As on Cloud Run: nothing is configured but the server that gives the service account's token."""
    token = clean.world.tokens.access(WORKER)
    server = MetadataServer(Identity("p", "1", "us-central1", WORKER, "i", lambda: token, lambda _: ""))
    code = (
        "import os; from finetune_image.store import open_store; open_store('gs://weights/job', os.environ).write('a', b'mine')"
    )
    environ = {**clean.environ, "GCE_METADATA_HOST": server.address, "GCE_METADATA_IP": server.address, "HOME": "/nowhere"}
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, timeout=60, cwd=ROOT, env={**environ, "PATH": os.environ["PATH"]})
    server.close()
    assert clean.bucket("job").read("a") == b"mine"


def test_opening_a_place_imports_no_google() -> None:
    """A run in a directory needs no cloud library, and a bucket only at its first request."""
    code = (
        "import sys; from finetune_image.store import open_store; open_store('/nowhere', {}); open_store('gs://b', {}); "
        "assert not {'google.auth', 'requests', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
