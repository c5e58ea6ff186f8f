"""Owns models in Cloud Storage: the JSON API's list and download, pinned generations. Knows no tensors."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from inference_image import contract
from inference_image.chunks.credentials import credentials_of
from inference_image.chunks.pulse import Pulse
from inference_image.chunks.ranged import read_range
from inference_image.chunks.response import Response
from inference_image.chunks.silence import Silence
from inference_image.chunks.source import Object, Patience, Sink
from inference_image.chunks.wire import RETRYABLE, Credentials, Transient, Wire, persist, read_json, retry_after
from inference_image.contract import Code, LoadFailed

_ENDPOINT: Final = "https://storage.googleapis.com"

Ask = Callable[[], tuple[Object, ...]]


class GcsSource:
    """`gs://bucket/prefix` over the JSON API. Every read names the generation that list() saw (pinned.py: that was approved)."""

    _fields = "name,size,generation,crc32c"

    def __init__(
        self, uri: str, environ: Mapping[str, str], *, patience: Patience, credentials: Credentials | None = None
    ) -> None:
        self.uri = uri
        self._bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        if not self._bucket:
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_MODEL, f"{uri[:80]}: no bucket in it")
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        emulator = environ.get(contract.ENV_STORAGE_HOST, "")
        self._endpoint = (emulator if "://" in emulator else f"http://{emulator}").rstrip("/") if emulator else _ENDPOINT
        self._patience = patience
        self.pulse = Pulse(patience)
        self._wire = Wire(environ, patience.stall)
        self._credentials = credentials or credentials_of(environ)

    def list(self) -> tuple[Object, ...]:
        objects = self._there()
        if not objects:
            raise LoadFailed(Code.MODEL_NOT_FOUND, self.uri, "no objects under this prefix")
        return objects

    def _there(self) -> tuple[Object, ...]:
        """What lies in the folder now, by name."""
        # what gemmactl wrote beside the weights belongs to the model; other folders are not looked into, however much they hold.
        # Both are asked for at once: one round trip.
        objects, beside = _both(partial(self._below, self._prefix), partial(self._below, f"{self._prefix}{contract.FOLDER}/"))
        return tuple(sorted((*objects, *beside), key=lambda one: one.name))

    def find(self, name: str) -> Object:
        """One object of the folder, without a list. Raises LoadFailed(shard_missing, access_denied, network_failed)."""
        path = f"{quote(self._bucket, safe='')}/o/{quote(self._prefix + name, safe='')}"
        url = f"{self._endpoint}/storage/v1/b/{path}?{urlencode({'fields': 'name,size,generation,crc32c'})}"

        def ask() -> Object:
            with self._get(url, {}, name, Code.SHARD_MISSING) as response:
                return self._object(read_json(response))

        return persist(ask, name, self._patience)

    def _below(self, prefix: str) -> tuple[Object, ...]:
        """The objects directly under a prefix, by their names in the model's folder."""
        objects: tuple[Object, ...] = ()
        page: str | None = ""
        while page is not None:
            answer = persist(partial(self._page, prefix, page), self.uri, self._patience)
            objects += tuple(self._object(item) for item in answer.get("items", []) if item["name"] != prefix)
            page = answer.get("nextPageToken")
        return objects

    def read(self, object: Object, begin: int, end: int, sink: Sink) -> None:  # noqa: A002 - the field's own word
        read_range(partial(self._media, object), object, begin, end, sink, self._patience, self.pulse)

    def _page(self, prefix: str, token: str) -> dict[str, Any]:
        query = {
            "prefix": prefix,
            "delimiter": "/",
            "fields": f"items({self._fields}),nextPageToken",
            **({"pageToken": token} if token else {}),
        }
        url = f"{self._endpoint}/storage/v1/b/{quote(self._bucket, safe='')}/o?{urlencode(query)}"
        with self._get(url, {}, self.uri, Code.MODEL_NOT_FOUND) as response:
            answer: dict[str, Any] = read_json(response)
            return answer

    def _object(self, item: Mapping[str, Any]) -> Object:
        checksum = item.get("crc32c")
        return Object(
            name=item["name"].removeprefix(self._prefix),
            size=int(item["size"]),
            generation=str(item["generation"]),
            crc32c=int.from_bytes(base64.b64decode(checksum), "big") if checksum else None,
        )

    @contextmanager
    def _media(self, wanted: Object, first: int, beyond: int, silence: Silence) -> Iterator[Response]:
        url = self._download(self._bucket, self._prefix + wanted.name, self._which(wanted))
        range_ = {"Range": f"bytes={first}-{beyond - 1}"}
        with self._get(url, range_, wanted.name, Code.SHARD_MISSING, silence) as response:
            self._same(response, wanted)
            yield response

    def _download(self, bucket: str, name: str, which: Mapping[str, str]) -> str:
        path = f"{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        return f"{self._endpoint}/download/storage/v1/b/{path}?{urlencode({'alt': 'media', **which})}"

    def _which(self, wanted: Object) -> Mapping[str, str]:
        # ifGenerationMatch, not generation: an overwritten object then answers 412, a deleted one 404.
        return {"ifGenerationMatch": wanted.generation}

    def _same(self, response: Response, wanted: Object) -> None:
        """Raises LoadFailed(object_changed) for an answer that is not of the object that was asked for."""
        if response.getheader("x-goog-generation") not in {None, wanted.generation}:
            raise changed(wanted.name)

    @contextmanager
    def _get(
        self, url: str, headers: Mapping[str, str], what: str, absent: Code, silence: Silence | None = None
    ) -> Iterator[Response]:
        authorization = self._credentials.header() if self._credentials else None
        sent = {**headers, **({"Authorization": authorization} if authorization else {})}
        with self._wire.get(url, sent, silence) as response:
            if response.status in {200, 206}:
                yield response
                return
            detail = _reason(response)
            if response.status == 401 and self._credentials is not None and authorization is not None:
                self._credentials.renew(authorization)
                self.pulse.count("renewed")
                raise _Refused(detail)
        _raise_for(response, what, absent, detail)


def _both(first: Ask, second: Ask) -> tuple[tuple[Object, ...], tuple[Object, ...]]:
    """What both say, asked at once. A thread by hand: concurrent.futures takes a twentieth of a reader's start to import."""
    said: list[tuple[Object, ...] | BaseException] = []

    def ask() -> None:
        try:
            said.append(second())
        except BaseException as error:  # noqa: BLE001 - raised again below
            said.append(error)

    thread = threading.Thread(target=ask, name="list beside")
    thread.start()
    try:
        here = first()
    finally:
        thread.join()
    if isinstance(said[0], BaseException):
        raise said[0]
    return here, said[0]


class _Refused(Transient):
    """401: worth one more try with a fresh token; Credentials that stay refused end it."""


def changed(name: str) -> LoadFailed:
    """It is another one than a moment ago."""
    return LoadFailed(Code.OBJECT_CHANGED, name, "it was overwritten while it was being loaded; start again")


def _raise_for(response: Response, what: str, absent: Code, detail: str) -> None:
    """The failure that a status other than 200 and 206 means."""
    status = response.status
    if status in RETRYABLE:
        raise Transient(f"status {status}: {detail}", retry_after(response))
    if status in {401, 403}:
        raise LoadFailed(Code.ACCESS_DENIED, what, f"status {status}: {detail}")
    if status == 404:
        raise LoadFailed(absent, what, f"status 404: {detail}")
    if status == 412:
        raise changed(what)
    if status == 416:
        raise LoadFailed(Code.OBJECT_CHANGED, what, "it is shorter than when it was listed")
    raise LoadFailed(Code.NETWORK_FAILED, what, f"status {status}: {detail}")


def _reason(response: Response) -> str:
    """The store's own sentence, from JSON or plain text."""
    body = response.read(1 << 16)
    try:
        import json

        return str(json.loads(body)["error"]["message"])[:400]
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()[:200] or "no explanation"
