"""Owns where the images of a chat come from: the message itself, or a bucket that is allowed. Knows no engine and no pixels."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from inference_image import contract
from inference_image.contract import Code, LoadFailed, RequestCode
from inference_image.engine.request import Refused
from inference_image.settings import Settings

_DATA: Final = re.compile(r"data:image/[a-zA-Z0-9.+-]{1,40};base64,")
_STORE: Final = "gs://"
_REFUSALS: Final = {
    Code.SHARD_MISSING: "there is no such object",
    Code.MODEL_NOT_FOUND: "there is no such object",
    Code.ACCESS_DENIED: "the service's account may not read it",
    Code.OBJECT_CHANGED: "it was replaced while it was read",
}


class Reads(Protocol):
    """chunks.single.Objects."""

    def read(self, uri: str, most: int) -> bytes | None:
        """All bytes of an object; None when they are more than `most`. Raises LoadFailed."""


class Pictures:
    """Reads images for one service. Safe from many threads; it blocks, so call it off the event loop."""

    def __init__(self, allowed: tuple[str, ...] = (), objects: Reads | None = None) -> None:
        """`allowed`: `gs://bucket/prefix` each, a folder and all below it, which `objects` reads."""
        self._allowed = tuple(place.rstrip("/") + "/" for place in allowed)
        self._objects = objects

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str]) -> Pictures:
        """The model's own place and those of contract.ENV_IMAGE_SOURCES."""
        from inference_image.chunks.single import Objects

        own = (settings.model,) if settings.model.startswith(_STORE) else ()
        return cls((*own, *settings.image_sources), Objects(environ))

    def read(self, part: Mapping[str, Any], field: str) -> bytes:
        """The file of a part `{"type": "image_url", "image_url": {"url": ...}}`; `field` is its place in the request.

        Raises Refused: invalid_request, unsupported_content, or not_ready when the store doesn't answer. It repeats nothing of
        the part.
        """
        inner = part.get("image_url")
        url = inner.get("url") if isinstance(inner, Mapping) else inner
        if not isinstance(url, str):
            facts = {"fields": [{"field": f"{field}.image_url.url", "problem": "Input should be a valid string"}]}
            raise Refused(RequestCode.INVALID_REQUEST, f"wrong fields: {field}.image_url.url", facts=facts)
        if url.startswith(_STORE):
            return self._stored(url, field)
        if found := _DATA.match(url):
            return _inside(url, found.end(), field)
        raise _refused(f"an image is data:image/...;base64,... {self._or_stored()}; other addresses are not read", field)

    def _stored(self, url: str, field: str) -> bytes:
        if self._objects is None or not url.isprintable() or not any(url.startswith(place) for place in self._allowed):
            raise _refused(f"an image is read from no such place: it is data:image/...;base64,... {self._or_stored()}", field)
        try:
            data = self._objects.read(url, contract.IMAGE_BYTES)
        except LoadFailed as failed:
            if (why := _REFUSALS.get(failed.failure.code)) is not None:
                raise _refused(f"an image can't be read: {why}", field) from None
            raise Refused(RequestCode.NOT_READY, "an image's bucket does not answer", retry_after=1) from None
        if data is None:
            raise _too_large(field)
        return data

    def _or_stored(self) -> str:
        return f"or an object below {', '.join(self._allowed)}" if self._allowed else "only"


INSIDE: Final = Pictures()
"""For images inside of messages alone."""


def _inside(url: str, begin: int, field: str) -> bytes:
    if len(url) - begin > -(-contract.IMAGE_BYTES // 3) * 4:
        raise _too_large(field)
    try:
        return base64.b64decode(url[begin:], validate=True)
    except (binascii.Error, ValueError):
        raise _refused("an image's base64 is broken", field) from None


def _too_large(field: str) -> Refused:
    return _refused(f"an image has more than {contract.IMAGE_BYTES >> 20} MiB", field)


def _refused(message: str, field: str) -> Refused:
    return Refused(RequestCode.UNSUPPORTED_CONTENT, message, facts={"param": field})
