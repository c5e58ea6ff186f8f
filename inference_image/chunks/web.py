"""Owns models in a folder of a web server that serves ranges. It has no list: a model's files have known names."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final
from urllib.parse import quote, urlsplit

from inference_image import contract
from inference_image.chunks.pulse import Pulse
from inference_image.chunks.ranged import read_range
from inference_image.chunks.response import Response
from inference_image.chunks.silence import Silence
from inference_image.chunks.source import Buffer, Object, Patience, Sink
from inference_image.chunks.wire import RETRYABLE, Transient, Wire, persist, retry_after
from inference_image.contract import Code, LoadFailed
from inference_image.small_files import INDEX_LIMIT, SEEING, SMALL

_NAMES: Final = (*SMALL, *SEEING, contract.MANIFEST, contract.SINGLE_SHARD)
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TOTAL: Final = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")
_SHARD: Final = re.compile(r"[\w.-]+\.safetensors")
_ASKED_AT_ONCE: Final = 16


class WebSource:
    """`https://host/folder`. A file's generation is its ETag; every answer must carry the one that was seen first."""

    def __init__(self, uri: str, environ: Mapping[str, str], *, patience: Patience, names: Sequence[str] = ()) -> None:
        parts = urlsplit(uri)
        wrong = (
            "no query and no user in it: what is secret does not belong into an address" if parts.query or parts.username
            else "no host in it" if not parts.hostname
            else "http:// is for this machine only" if parts.scheme == "http" and parts.hostname not in _LOOPBACK
            else ""
        )  # fmt: skip
        if wrong:
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_MODEL, f"{parts.scheme}://{parts.hostname or ''}: {wrong}")
        self.uri = uri.rstrip("/")
        self._names = names or _NAMES
        self._patience = patience
        self.pulse = Pulse(patience)
        self._wire = Wire(environ, patience.stall)

    def list(self) -> tuple[Object, ...]:
        found = self._look(self._names)
        if not found:
            raise LoadFailed(Code.MODEL_NOT_FOUND, self.uri, "none of a model's files is at this address")
        index = next((one for one in found if one.name == contract.INDEX), None)
        if index is not None:
            found += self._look(self._shards(index))
        return tuple(sorted(found, key=lambda one: one.name))

    def read(self, object: Object, begin: int, end: int, sink: Sink) -> None:  # noqa: A002 - the field's own word
        read_range(partial(self._part, object), object, begin, end, sink, self._patience, self.pulse)

    def _look(self, names: Iterable[str]) -> tuple[Object, ...]:
        """Those that are there."""
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            return tuple(one for one in pool.map(self._object, names) if one is not None)

    def _object(self, name: str) -> Object | None:
        def ask() -> Object | None:
            # a range of one byte, not HEAD: the answer proves that ranges are served
            with self._wire.follow(self._address(name), lambda _: {"Range": "bytes=0-0"}) as (response, _):
                if response.status in {404, 410}:
                    response.read(1 << 16)
                    return None
                total = _TOTAL.fullmatch(response.getheader("Content-Range", ""))
                if response.status not in {206, 416} or total is None:
                    self._raise_for(response, name)
                    raise LoadFailed(Code.NETWORK_FAILED, name, f"status {response.status}: this server serves no ranges")
                response.read(1 << 16)
                return Object(name, int(total[1]), _version(response), _crc32c(response))

        return persist(ask, name, self._patience)

    def _shards(self, index: Object) -> tuple[str, ...]:
        if index.size > INDEX_LIMIT:
            return ()  # refused by its size where the small files are judged
        buffer = Buffer(index.size)
        self.read(index, 0, index.size, buffer)
        try:
            named = json.loads(bytes(buffer.data))["weight_map"].values()
            return tuple({name for name in named if isinstance(name, str) and _SHARD.fullmatch(name)})
        except (ValueError, KeyError, TypeError, AttributeError):
            return ()  # refused by its content there, too

    @contextmanager
    def _part(self, wanted: Object, first: int, beyond: int, silence: Silence) -> Iterator[Response]:
        range_ = {"Range": f"bytes={first}-{beyond - 1}"}
        with self._wire.follow(self._address(wanted.name), lambda _: range_, silence) as (response, _):
            if response.status not in {200, 206}:
                self._raise_for(response, wanted.name)
            if response.status in {412, 416} or _version(response) != wanted.generation:
                raise LoadFailed(Code.OBJECT_CHANGED, wanted.name, "it was replaced while it was being loaded; start again")
            yield response

    def _address(self, name: str) -> str:
        return f"{self.uri}/{quote(name)}"

    def _raise_for(self, response: Response, name: str) -> None:
        status = response.status
        if status in RETRYABLE:
            raise Transient(f"status {status}", retry_after(response))
        if status in {401, 403}:
            raise LoadFailed(
                Code.ACCESS_DENIED, name, f"status {status}: the files of an https:// model are read without credentials"
            )
        if status == 404:
            raise LoadFailed(Code.SHARD_MISSING, name, "status 404: gone since the load began")
        if status >= 400 and status not in {412, 416}:
            raise LoadFailed(Code.NETWORK_FAILED, name, f"status {status}")


def _version(response: Response) -> str:
    """What names this content: Cloud Storage's generation, else the ETag, else the time of the last change."""
    return response.getheader("x-goog-generation") or response.getheader("ETag") or response.getheader("Last-Modified") or ""


def _crc32c(response: Response) -> int | None:
    """The whole object's, where the server says it: a public bucket of Cloud Storage does."""
    found = re.search(r"crc32c=([A-Za-z0-9+/]{6}==)", response.getheader("x-goog-hash", ""))
    return int.from_bytes(base64.b64decode(found[1]), "big") if found else None
