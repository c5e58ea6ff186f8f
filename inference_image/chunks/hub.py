"""Owns repositories of a Hugging Face hub: a revision's tree, its files. The token goes to no other host. Knows no tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from inference_image import contract
from inference_image.chunks.pulse import Pulse
from inference_image.chunks.ranged import read_range
from inference_image.chunks.response import Response
from inference_image.chunks.silence import Silence
from inference_image.chunks.source import Object, Patience, Sink
from inference_image.chunks.wire import RETRYABLE, Transient, Wire, persist, read_json, retry_after
from inference_image.contract import Code, LoadFailed

_ENDPOINT: Final = "https://huggingface.co"
_MODEL: Final = re.compile(r"hf:(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NEXT: Final = re.compile(r'<([^>]+)>;\s*rel="next"')


class HubSource:
    """`hf:owner/name[@revision]`. A file's generation is its content's id on the hub; the hub states no crc32c.

    `dataset`: it is a repository of data, which the hub keeps under addresses of their own.
    """

    def __init__(self, uri: str, environ: Mapping[str, str], *, patience: Patience, dataset: bool = False) -> None:
        self.uri = uri
        found = _MODEL.fullmatch(uri)
        if found is None:
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_MODEL, f"{uri[:80]}: expected hf:owner/name[@revision]")
        self._id, self._revision = found["id"], found["revision"] or "main"
        self._api, self._files = ("api/datasets", f"datasets/{self._id}") if dataset else ("api/models", self._id)
        self._endpoint = (environ.get(contract.ENV_HF_ENDPOINT) or _ENDPOINT).rstrip("/")
        self._host = _origin(self._endpoint)
        self._token = environ.get(contract.ENV_HF_TOKEN, "").strip()
        self._patience = patience
        self.pulse = Pulse(patience)
        self._wire = Wire(environ, patience.stall)

    def list(self) -> tuple[Object, ...]:
        # what gemmactl wrote beside the weights belongs to the model; other folders are somebody else's
        found = tuple(one for one in self.walk() if one.name.removeprefix(f"{contract.FOLDER}/").count("/") == 0)
        if not found:
            raise LoadFailed(Code.MODEL_NOT_FOUND, self.uri, "the revision holds no files")
        return found

    def walk(self) -> tuple[Object, ...]:
        """Every file of the revision by its path, those of all subfolders too. Raises what list() raises; empty is no failure."""
        url: str | None = f"{self._endpoint}/{self._api}/{self._id}/tree/{quote(self._revision, safe='')}?recursive=true"
        objects: list[Object] = []
        while url:
            rows, url = persist(partial(self._page, url), self.uri, self._patience)
            objects += [
                Object(row["path"], int(row["size"]), str((row.get("lfs") or row).get("oid", "")))
                for row in rows
                if row.get("type") == "file"
            ]
        return tuple(sorted(objects, key=lambda one: one.name))

    def commit(self) -> str:
        """The commit that the revision is now, 40 hexadecimal digits. Raises LoadFailed, also for an answer without one."""
        if _COMMIT.fullmatch(self._revision):
            return self._revision
        url = f"{self._endpoint}/{self._api}/{self._id}/revision/{quote(self._revision, safe='')}"

        def ask() -> str:
            with self._wire.get(url, self._headers(url, {})) as response:
                if response.status != 200:
                    self._raise_for(response, self.uri)
                return str(read_json(response).get("sha", ""))

        found = persist(ask, self.uri, self._patience)
        if not _COMMIT.fullmatch(found):
            raise LoadFailed(Code.MODEL_NOT_FOUND, self.uri, "the hub names no commit")
        return found

    def read(self, object: Object, begin: int, end: int, sink: Sink) -> None:  # noqa: A002 - the field's own word
        url = f"{self._endpoint}/{self._files}/resolve/{quote(self._revision, safe='')}/{quote(object.name)}"

        @contextmanager
        def get(first: int, beyond: int, silence: Silence) -> Iterator[Response]:
            def headers(address: str) -> Mapping[str, str]:
                return self._headers(address, {"Range": f"bytes={first}-{beyond - 1}"})

            def seen(response: Response, address: str) -> None:
                self._same_content(response, address, object)

            with self._wire.follow(url, headers, silence, seen=seen) as (response, address):
                if response.status not in {200, 206}:
                    self._raise_for(response, object.name, expired=_origin(address) != self._host)
                yield response

        read_range(get, object, begin, end, sink, self._patience, self.pulse)

    def _page(self, url: str) -> tuple[Sequence[Mapping[str, Any]], str | None]:
        with self._wire.get(url, self._headers(url, {})) as response:
            if response.status != 200:
                self._raise_for(response, self.uri)
            following = _NEXT.search(response.getheader("Link", ""))
            rows: Sequence[Mapping[str, Any]] = read_json(response)
            return rows, urljoin(url, following[1]) if following else None

    def _headers(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        own = self._token and _origin(url) == self._host
        return {**headers, **({"Authorization": f"Bearer {self._token}"} if own else {})}

    def _same_content(self, response: Response, url: str, wanted: Object) -> None:
        """A branch can move during a load: the hub names the content it serves, and it must be the one that was listed."""
        if _origin(url) != self._host or response.status >= 400:
            return
        served = response.getheader("X-Linked-Etag") or response.getheader("ETag") or ""
        served = served.removeprefix("W/").strip('"')
        if served and wanted.generation and served != wanted.generation:
            raise LoadFailed(Code.OBJECT_CHANGED, wanted.name, f"{self._revision} moved while it was loaded; start again")

    def _raise_for(self, response: Response, what: str, *, expired: bool = False) -> None:
        status = response.status
        detail = (response.getheader("X-Error-Message") or response.read(1 << 16).decode("utf-8", "replace").strip())[:200]
        if status in RETRYABLE or expired:
            # A storage host's 403 is a signed address that has run out: the hub makes a new one at the next try.
            raise Transient(f"status {status}: {detail}", retry_after(response))
        if status in {401, 403}:
            advice = "is its licence accepted by the token's account?" if self._token else "HF_TOKEN is not set"
            raise LoadFailed(Code.ACCESS_DENIED, what, f"status {status}: {detail}; {advice}")
        if status == 404:
            raise LoadFailed(Code.MODEL_NOT_FOUND if what == self.uri else Code.SHARD_MISSING, what, f"status 404: {detail}")
        raise LoadFailed(Code.NETWORK_FAILED, what, f"status {status}: {detail}")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
