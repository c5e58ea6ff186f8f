"""Models on a hub as Files: what inspect and copy read, and how a refusal is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.local.hub import HubFiles
from inference_image.chunks.source import Patience
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket
from tests.local.fake_hub import COMMIT, Hub

TOKEN = "hf_secret"
SHARD = bytes(range(256)) * 300


@pytest.fixture
def hub() -> Bucket:
    bucket = Bucket(tokens={f"Bearer {TOKEN}"})
    bucket.put("config.json", b"{}")
    bucket.put("model.safetensors", SHARD)
    bucket.put("gemmactl/manifest.json", b"[]")
    bucket.put("original/params.json", b"{}")
    return bucket


@pytest.fixture
def environ(hub: Bucket) -> Iterator[dict[str, str]]:
    with fake_storage.running(hub, Hub) as here:
        yield {"HF_ENDPOINT": here, "HF_TOKEN": TOKEN}


def files(environ: dict[str, str], uri: str = "hf:owner/name") -> HubFiles:
    return HubFiles(uri, environ, Patience(attempts=3, stall=5, sleep=lambda _seconds: None))


def test_every_file_is_listed_once(environ: dict[str, str], hub: Bucket) -> None:
    """All folders, with the sha256 of what lies in LFS and a version for everything; one listing whoever asks."""
    found = files(environ)
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _n: dict(found.sizes), range(16)))
    assert all(sizes == {name: len(data) for name, data in hub.objects.items()} for sizes in seen)
    assert found.entries["model.safetensors"].sha256 == hashlib.sha256(SHARD).hexdigest()
    assert found.entries["config.json"].sha256 == ""
    assert all(entry.version for entry in found.entries.values())
    assert len([path for path, _ in hub.asked if "/tree/" in path]) == 1


def test_a_branch_is_a_commit(environ: dict[str, str], hub: Bucket) -> None:
    """The commit that a branch is now, read under its name; a commit needs no request, and a refusal says why."""
    assert files(environ).commit() == COMMIT
    asked = len(hub.asked)
    named = files(environ, f"hf:owner/name@{COMMIT}")
    assert named.commit() == COMMIT
    assert len(hub.asked) == asked
    assert named.read("config.json", 0, 2) == b"{}"
    with pytest.raises(Trouble) as caught:
        files({**environ, "HF_TOKEN": ""}).commit()
    assert caught.value.code == "hub-access"


def test_ranges_from_many_threads(environ: dict[str, str]) -> None:
    """Each thread gets its own bytes; the end of the file cuts a range, and a file that is not there is empty."""
    found = files(environ)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: found.read("model.safetensors", at, at + 1000), range(0, len(SHARD), 1000)))
    assert b"".join(parts) == SHARD
    assert found.read("model.safetensors", len(SHARD), len(SHARD) + 5) == b""
    assert found.read("tokenizer.json", 0, 5) == b""


@pytest.mark.parametrize(("token", "words"), [("", "HF_TOKEN is not set"), ("hf_other", "refuses the token in HF_TOKEN")])
def test_a_gated_model_is_explained(environ: dict[str, str], token: str, words: str) -> None:
    """The page with the terms, the variable, and whose acceptance counts; never the token."""
    with pytest.raises(Trouble) as told:
        files({**environ, "HF_TOKEN": token}).sizes  # noqa: B018 - the reading is what fails
    trouble = told.value
    assert (trouble.code, trouble.exit) == ("hub-access", Exit.REFUSED)
    assert words in trouble.why
    assert "https://huggingface.co/owner/name" in trouble.remedy
    assert "account" in trouble.remedy
    assert not token or token not in f"{trouble.what}{trouble.why}{trouble.remedy}{trouble.facts}"


def test_a_model_that_is_not_there(environ: dict[str, str]) -> None:
    """Owner, name and revision are what to check."""
    with pytest.raises(Trouble) as told:
        files(environ, "hf:owner/other").read("config.json", 0, 1)
    assert (told.value.code, told.value.exit) == ("hub-missing", Exit.REFUSED)


def test_content_that_changes_is_refused(environ: dict[str, str], hub: Bucket) -> None:
    """A file is read as the content that was listed, or not at all."""
    found = files(environ)
    assert found.read("config.json", 0, 2) == b"{}"
    hub.put("config.json", b"[]")
    with pytest.raises(Trouble) as told:
        found.read("config.json", 0, 2)
    assert told.value.code == "source-changed"


def test_a_hub_that_is_not_reached(environ: dict[str, str], hub: Bucket) -> None:
    """After the tries of its patience the network is named."""
    found = files(environ)
    hub.faults = [fake_storage.status(503)] * 20
    assert found.sizes
    with pytest.raises(Trouble) as told:
        found.read("config.json", 0, 2)
    assert told.value.code == "network"
