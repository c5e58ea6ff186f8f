"""A model in a folder of a web server: found without a list, held to its ETags, refused where ranges are not served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from inference_image.chunks import open_source
from inference_image.chunks.source import Buffer, Patience
from inference_image.contract import Code, LoadFailed
from inference_image.engine import load
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL


class Folder(fake_storage.Handler):
    """Files by name with ETags and ranges. The switches belong to one server."""

    files: dict[str, bytes]
    versions: dict[str, int]
    ranges = True
    moved = False
    refuse = 0

    def do_GET(self) -> None:
        name = self.path.removeprefix("/model/")
        if self.moved and self.path.startswith("/model/"):
            self.answer(302, b"", Location=f"/elsewhere/{name}")
            return
        name = name.removeprefix("/elsewhere/")
        data = self.files.get(name)
        if type(self).refuse:
            self.answer(type(self).refuse, b"no")
        elif data is None:
            self.answer(404, b"nothing here")
        elif not self.ranges:
            self.answer(200, data)
        else:
            first, last = (int(number) for number in re.findall(r"\d+", self.headers["Range"]))
            last = min(last, len(data) - 1)
            etag = f'"{self.versions.get(name, 1)}"'
            self.answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", ETag=etag)


@pytest.fixture
def folder() -> Iterator[tuple[str, Any]]:
    files = {path.name: path.read_bytes() for path in MODEL.iterdir()}
    kind = type("Served", (Folder,), {"files": files, "versions": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/model", kind
    server.shutdown()
    server.server_close()


def test_a_model_is_found_by_its_known_names(folder: tuple[str, Any], patience: Patience) -> None:
    """The small files and the shards that the index names, with their sizes."""
    found = open_source(folder[0], {}, patience=patience).list()
    assert {one.name: one.size for one in found} == {path.name: path.stat().st_size for path in MODEL.iterdir()}
    assert {one.generation for one in found} == {'"1"'}


def test_a_model_is_served_from_there(folder: tuple[str, Any]) -> None:
    """The engine loads it through the process that reads."""
    timeline = Timeline()
    load(Settings(model=folder[0], threads=1, connections=4, chunk=60_000), environ={}, timeline=timeline).close()
    assert timeline.record()["bytes"] == 1691264
    assert timeline.record()["reader"] == "process"


def test_a_redirect_is_followed(folder: tuple[str, Any], patience: Patience) -> None:
    """A server may keep its files elsewhere."""
    folder[1].moved = True
    source = open_source(folder[0], {}, patience=patience)
    one = next(one for one in source.list() if one.name == "config.json")
    buffer = Buffer(one.size)
    source.read(one, 0, one.size, buffer)
    assert bytes(buffer.data) == folder[1].files["config.json"]


def test_a_file_that_is_replaced_is_object_changed(folder: tuple[str, Any], patience: Patience) -> None:
    """Another ETag is another file, whatever its size."""
    source = open_source(folder[0], {}, patience=patience)
    one = next(one for one in source.list() if one.name == "config.json")
    folder[1].versions["config.json"] = 2
    with pytest.raises(LoadFailed) as failed:
        source.read(one, 0, one.size, Buffer(one.size))
    assert failed.value.failure.code is Code.OBJECT_CHANGED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ranges": False}, Code.NETWORK_FAILED),
        ({"refuse": 403}, Code.ACCESS_DENIED),
        ({"refuse": 404}, Code.MODEL_NOT_FOUND),
        ({"refuse": 503}, Code.NETWORK_FAILED),
    ],
)
def test_a_server_that_can_not_serve_it_is_told(
    folder: tuple[str, Any], patience: Patience, change: dict[str, Any], code: Code
) -> None:
    """No ranges, no permission, nothing there, or busy for good."""
    for key, value in change.items():
        setattr(folder[1], key, value)
    with pytest.raises(LoadFailed) as failed:
        open_source(folder[0], {}, patience=patience).list()
    assert failed.value.failure.code is code


@pytest.mark.parametrize(
    "uri", ["https://user:canary@host/m", "https://host/m?token=canary", "http://example.com/m", "https:///m"]
)
def test_an_address_that_is_none_is_refused_without_its_secrets(uri: str) -> None:
    """A secret does not belong into an address, and is not repeated; plain HTTP is for this machine only."""
    with pytest.raises(LoadFailed) as failed:
        open_source(uri, {})
    assert failed.value.failure.code is Code.SETTING_INVALID
    assert "canary" not in str(failed.value)
