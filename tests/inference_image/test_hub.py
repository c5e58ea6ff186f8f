"""Reading from a Hugging Face hub: tree, ranges, redirects, and a token that stays at home."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from inference_image.chunks import open_source
from inference_image.chunks.source import Buffer, Patience, Source
from inference_image.contract import Code, LoadFailed
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket, Handler

DATA = bytes(range(256)) * 8


class Store(Handler):
    """Where the hub's large files lie: another host."""

    def do_GET(self) -> None:
        self.bucket.asked.append((self.path, dict(self.headers)))
        if self.path.startswith("/expired"):
            self.answer(403, b"signature expired")
            return
        first, last = (int(number) for number in re.findall(r"\d+", self.headers["Range"]))
        self.part(DATA[first : last + 1], first, last + 1, len(DATA))


class Hub(Handler):
    """The hub: a tree in two pages, one small and one large file."""

    store = ""
    etag = "oid-of-large"

    def do_GET(self) -> None:
        self.bucket.asked.append((self.path, dict(self.headers)))
        if self.bucket.tokens is not None and self.headers.get("Authorization") not in self.bucket.tokens:
            self.answer(401, b"Access to model is restricted")
        elif self.path.startswith("/api/models/owner/name/tree/main"):
            large = {"type": "file", "path": "model.safetensors", "size": len(DATA), "oid": "git", "lfs": {"oid": "oid-of-large"}}
            small = {"type": "file", "path": "config.json", "size": 2, "oid": "git-small"}
            folder = {"type": "directory", "path": "sub", "size": 0, "oid": "x"}
            below = {"type": "file", "path": "sub/config.json", "size": 2, "oid": "git-below"}
            ours = {"type": "file", "path": "gemmactl/overrides.json", "size": 2, "oid": "git-ours"}
            if "cursor" in self.path:
                self.answer(200, json.dumps([large]).encode())
            else:
                following = f'<http://{self.headers["Host"]}/api/models/owner/name/tree/main?cursor=2>; rel="next"'
                self.answer(200, json.dumps([small, folder, below, ours]).encode(), Link=following)
        elif self.path == "/owner/name/resolve/main/model.safetensors":
            expired = "/expired" if self.bucket.faults and self.bucket.faults.pop() is None else "/file"
            self.answer(302, b"", Location=self.store + expired, X_Linked_Etag=f'"{self.etag}"')
        else:
            self.answer(404, b"Repository not found")


@pytest.fixture
def store() -> Bucket:
    return Bucket()


@pytest.fixture
def hub() -> Bucket:
    return Bucket(tokens={"Bearer hf_secret"})


@pytest.fixture
def environ(hub: Bucket, store: Bucket) -> Iterator[dict[str, str]]:
    with fake_storage.running(store, Store) as there, fake_storage.running(hub, type("H", (Hub,), {"store": there})) as here:
        yield {"HF_ENDPOINT": here, "HF_TOKEN": "hf_secret"}


@pytest.fixture
def source(environ: dict[str, str], patience: Patience) -> Source:
    return open_source("hf:owner/name", environ, patience=patience)


def test_tree_lists_files_of_all_pages(source: Source) -> None:
    """Files of the folder itself and what gemmactl wrote beside them, with the id of their content as generation."""
    assert [(one.name, one.generation) for one in source.list()] == [
        ("config.json", "git-small"),
        ("gemmactl/overrides.json", "git-ours"),
        ("model.safetensors", "oid-of-large"),
    ]


def test_the_token_stays_with_the_hub(source: Source, hub: Bucket, store: Bucket) -> None:
    """A range comes through the redirect, and the other host never sees the token."""
    one = source.list()[-1]
    buffer = Buffer(one.size)
    source.read(one, 10, 500, buffer)
    assert bytes(buffer.data[10:500]) == DATA[10:500]
    assert all(headers.get("Authorization") == "Bearer hf_secret" for _, headers in hub.asked)
    assert store.asked
    assert all("Authorization" not in headers for _, headers in store.asked)


def test_an_expired_address_is_asked_for_again(source: Source, hub: Bucket) -> None:
    """403 of the storage host is an address that ran out, not a refusal."""
    one = source.list()[-1]
    hub.faults = [None]
    buffer = Buffer(one.size)
    source.read(one, 0, one.size, buffer)
    assert bytes(buffer.data) == DATA


def test_a_moved_branch_is_object_changed(hub: Bucket, store: Bucket, patience: Patience) -> None:
    """A revision that moves during the load is never mixed."""
    with fake_storage.running(hub, type("H", (Hub,), {"etag": "other"})) as here:
        source = open_source("hf:owner/name", {"HF_ENDPOINT": here, "HF_TOKEN": "hf_secret"}, patience=patience)
        one = source.list()[-1]
        with pytest.raises(LoadFailed) as failed:
            source.read(one, 0, 10, Buffer(one.size))
    assert failed.value.failure.code is Code.OBJECT_CHANGED


@pytest.mark.parametrize(
    ("uri", "token", "code"),
    [("hf:owner/name", "", Code.ACCESS_DENIED), ("hf:owner/other", "hf_secret", Code.MODEL_NOT_FOUND)],
)
def test_refusals_have_their_codes(environ: dict[str, str], patience: Patience, uri: str, token: str, code: Code) -> None:
    """A gated model without a token is access_denied, an unknown one model_not_found."""
    source = open_source(uri, {**environ, "HF_TOKEN": token}, patience=patience)
    with pytest.raises(LoadFailed) as failed:
        source.list()
    assert failed.value.failure.code is code
    assert "hf_secret" not in str(failed.value)
