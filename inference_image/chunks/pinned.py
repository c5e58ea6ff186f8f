"""Owns a folder of Cloud Storage as a pin describes it: the files that were approved, or a refusal that names what changed.

One read of the pin takes the place of the list. What lies there now is only looked at when a file is not what it was.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from inference_image import contract
from inference_image.chunks.gcs import GcsSource, changed
from inference_image.chunks.response import Response
from inference_image.chunks.source import Object, Patience, Sink
from inference_image.chunks.wire import Credentials, persist
from inference_image.contract import Code, LoadFailed
from inference_image.pin import LIMIT, Difference, Pin, Pinned, differences, digest_of

_TOLD: Final = 12
"""Files that a refusal names; a folder that was uploaded anew has them all changed."""
_HASH: Final = re.compile(r"crc32c=([A-Za-z0-9+/]{6}==)")


class PinnedSource(GcsSource):
    """`gs://bucket/prefix` as ENV_PIN has it. An older generation is read all the same, where a bucket keeps it.

    Where every file is there with the very bytes that were approved (size, CRC-32C and MD5) and only their generations are new,
    as after the same upload once more or a restoration, they are read under these.
    """

    _fields = "name,size,generation,crc32c,md5Hash"

    def __init__(
        self, uri: str, environ: Mapping[str, str], *, pin: str, patience: Patience, credentials: Credentials | None = None
    ) -> None:
        super().__init__(uri, environ, patience=patience, credentials=credentials)
        self._pin = pin
        self._model = environ.get(contract.ENV_MODEL, "")
        self._served: dict[str, str] = {}
        self._lock = threading.Lock()
        self._verdict: LoadFailed | None = None
        self._moved: Mapping[str, str] = {}
        self._md5: dict[str, str] = {}

    def list(self) -> tuple[Object, ...]:
        """The files of the pin, without a look at the folder. Raises LoadFailed(pin_invalid, access_denied, network_failed)."""
        return tuple(_object(one) for one in sorted(self._approved()[1]))

    def read(self, object: Object, begin: int, end: int, sink: Sink) -> None:  # noqa: A002 - the field's own word
        rest, asked = _Rest(sink, begin), self._found(object)
        try:
            super().read(asked, begin, end, rest)
        except LoadFailed as failed:
            if failed.failure.code not in {Code.SHARD_MISSING, Code.OBJECT_CHANGED}:
                raise
            # another reader may have found out meanwhile: what counts is the generation that this one asked for
            if (verdict := self._why(failed)) is not None or self._found(object) == asked:
                raise (verdict or failed) from None
            super().read(self._found(object), rest.at, end, sink)

    def _found(self, one: Object) -> Object:
        """The object under the generation that its bytes have now."""
        return replace(one, generation=self._moved[one.name]) if one.name in self._moved else one

    def _object(self, item: Mapping[str, Any]) -> Object:
        one = super()._object(item)
        self._md5[one.name] = item.get("md5Hash", "")
        return one

    def _which(self, wanted: Object) -> Mapping[str, str]:
        # generation, not ifGenerationMatch: an older one is served, too, as long as the bucket has it
        return {"generation": wanted.generation} if wanted.generation else {}

    def _same(self, response: Response, wanted: Object) -> None:
        served = response.getheader("x-goog-generation") or ""
        if served and served != (wanted.generation or self._served.setdefault(wanted.name, served)):
            raise changed(wanted.name)
        # the store says the sum of the whole with every part of it: what has changed is known before its first byte
        found = _HASH.search(response.getheader("x-goog-hash", ""))
        if found and wanted.crc32c is not None and int.from_bytes(base64.b64decode(found[1]), "big") != wanted.crc32c:
            raise changed(wanted.name)

    def _approved(self) -> tuple[Pin, tuple[Pinned, ...]]:
        """Raises LoadFailed(pin_invalid)."""
        data = self._pin.encode("utf-8", "surrogateescape")
        if not self._pin.startswith("{"):
            bucket, _, name = self._pin.removeprefix("gs://").partition("/")
            data = persist(partial(self._document, bucket, name), self._pin, self._patience)
        try:
            pin = Pin.parse(data, digest_of(self._pin))
        except ValueError as error:
            raise LoadFailed(Code.PIN_INVALID, _short(self._pin), f"{error}; deploy the model again") from None
        objects = pin.of(self.uri)
        if objects is None:
            detail = f"it does not speak of {self.uri}, which {contract.ENV_MODEL} names: gemmactl deploy {self.uri} pins that"
            raise LoadFailed(Code.PIN_INVALID, _short(self._pin), detail)
        return pin, objects

    def _document(self, bucket: str, name: str) -> bytes:
        try:
            with self._get(self._download(bucket, name, {}), {}, self._pin, Code.PIN_INVALID) as response:
                return response.read(LIMIT)
        except LoadFailed as failed:
            if failed.failure.code is not Code.PIN_INVALID:
                raise
            detail = f"{failed.failure.detail}: somebody removed what says which weights were approved; deploy the model again"
            raise LoadFailed(Code.PIN_INVALID, self._pin, detail) from None

    def _why(self, failed: LoadFailed) -> LoadFailed | None:
        """The refusal in full: every file of the folder that is not as approved. None: all the bytes are there.

        Found out once, however many readers fail.
        """
        with self._lock:
            if self._verdict is None and not self._moved:
                try:
                    pin, pinned = self._approved()
                    now = {one.name: self._now(one) for one in self._there()}
                except LoadFailed:
                    self._verdict = failed
                    return failed
                found = differences(pinned, now)
                if all(one.same_bytes for one in found):
                    self._moved = {one.was.name: str(one.now.generation) for one in found if one.now}
                else:
                    self._verdict = self._refusal(pin, len(pinned), found)
            return self._verdict

    def _now(self, one: Object) -> Pinned:
        checksum = base64.b64encode(one.crc32c.to_bytes(4, "big")).decode() if one.crc32c is not None else ""
        return Pinned(one.name, int(one.generation), one.size, checksum, self._md5.get(one.name, ""))

    def _refusal(self, pin: Pin, count: int, found: tuple[Difference, ...]) -> LoadFailed:
        more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        told = "; ".join(one.text for one in found[:_TOLD])
        detail = (
            f"{len(found)} of {count} files of {self.uri} are not those that were approved: {told}{more}."
            f" To serve what is there now: {pin.command(self._model)} with the flags of that deploy"
        )
        return LoadFailed(Code.WEIGHTS_CHANGED, found[0].was.name, detail)


def _object(one: Pinned) -> Object:
    checksum = int.from_bytes(base64.b64decode(one.crc32c), "big") if one.crc32c else None
    return Object(one.name, one.size, str(one.generation) if one.generation else "", checksum)


class _Rest:
    """A sink that knows how far it is: what arrived before a change is not received twice."""

    def __init__(self, sink: Sink, at: int) -> None:
        self._sink, self.at = sink, at

    def buffer(self, offset: int, most: int) -> memoryview:
        return self._sink.buffer(offset, most)

    def wrote(self, offset: int, count: int) -> None:
        self._sink.wrote(offset, count)
        self.at = offset + count


def _short(pin: str) -> str:
    return pin if pin.startswith("gs://") else contract.ENV_PIN
