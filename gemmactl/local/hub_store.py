"""A model on a Hugging Face hub as the destination of a copy: weights in one commit, the rest with the manifest in the last.

Knows the hub only through huggingface_hub, which the extra `local` brings. Files go over the LFS protocol from a stream: the hub
wants a file's sha256 before its bytes, so a file larger than one range is read twice. The token is HF_TOKEN's and nobody else's.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, NoReturn, Protocol

from gemmactl.checkpoint.copying import stage
from gemmactl.checkpoint.files import Entry, Files
from gemmactl.checkpoint.manifest import RANGE, Record
from gemmactl.checkpoint.stores import raced
from gemmactl.checkpoint.stream import Stream
from gemmactl.errors import Trouble, refused
from gemmactl.local.hub import SITE, HubFiles
from gemmactl.local.model import require
from inference_image import contract

REMEDY: Final = f"make the model repository first, private or public as you decide: {SITE}/new"


class _Seekable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...
    def tell(self) -> int: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass
class HubStore:
    """One branch of one repository. Commits name their parent: what somebody else committed meanwhile is never passed over."""

    files: HubFiles
    api: Any = field(repr=False)
    repository: str
    branch: str
    head: str
    remembers: bool = False
    _staged: list[Any] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, uri: str, environ: Mapping[str, str]) -> HubStore:
        """The branch as it is now.

        Raises:
            Trouble: (refused) huggingface_hub or HF_TOKEN is missing, there is no such repository, or it may not be seen.
        """
        require(("huggingface_hub",))
        name, _, branch = uri.removeprefix("hf:").partition("@")
        token = environ.get(contract.ENV_HF_TOKEN, "").strip()
        if not token:
            raise refused(
                f"{uri} can't be written to",
                why="the variable HF_TOKEN is not set",
                remedy=f"set HF_TOKEN to a token that may write to {name} ({SITE}/settings/tokens)",
                code="hub-access",
            )
        files = HubFiles(uri, environ)
        try:
            files.entries  # noqa: B018 - the listing is what fails
        except Trouble as trouble:
            if trouble.code == "hub-missing":
                raise refused(f"there is no {uri} to write to", why=trouble.why, remedy=REMEDY, code="hub-missing") from trouble
            raise
        from huggingface_hub import HfApi

        api = HfApi(endpoint=environ.get(contract.ENV_HF_ENDPOINT) or None, token=token)
        with _told(uri):
            head = api.model_info(name, revision=branch or "main").sha
        return cls(files, api, name, branch or "main", str(head))

    def prepare(self, needed: int) -> None:
        """Nothing: the hub says when it is full."""

    def put(self, stream: Stream, old: Entry | None) -> None:
        # small ones are kept whole until their commit; the others are read for their hash, and again while they are sent
        body = io.BytesIO(stream.read()) if stream.size <= RANGE else _Body(stream)
        self._stage(stream.name, body)
        stream.close()

    def write(self, name: str, data: bytes) -> None:
        self._stage(name, io.BytesIO(data))

    def remove(self, name: str) -> None:
        from huggingface_hub import CommitOperationDelete

        self._commit([CommitOperationDelete(path_in_repo=name)], f"Remove {name}: files are about to be replaced")

    def move(self, source: Files, name: str, old: Entry | None, record: Record) -> bool:
        return False

    def finish(self, last: bool) -> None:
        staged = self._staged
        if not staged or not (last or any(stage(one.path_in_repo) == 0 for one in staged)):
            return  # config, index and what else is small wait for the last commit
        self._commit(staged, "Model files, complete" if last else "Weights; the model is complete when its manifest is there")
        self._staged = []

    def _stage(self, name: str, body: io.BufferedIOBase) -> None:
        from huggingface_hub import CommitOperationAdd

        with _told(self.files.place):
            added = CommitOperationAdd(path_in_repo=name, path_or_fileobj=body)  # type: ignore[arg-type]  # any seekable one will do
            self.api.preupload_lfs_files(self.repository, [added], revision=self.branch)
        with self._lock:
            self._staged.append(added)

    def _commit(self, operations: list[Any], message: str) -> None:
        with _told(self.files.place):
            made = self.api.create_commit(
                self.repository, operations, commit_message=message, revision=self.branch, parent_commit=self.head
            )
        self.head = made.oid


class _Body(io.BufferedIOBase):
    """A stream in the class that huggingface_hub asks for."""

    def __init__(self, inner: _Seekable) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._inner.read(-1 if size is None else size)

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._inner.seek(offset, whence)


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Failures of huggingface_hub as Troubles; what a stream raised inside of it comes out as it was."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - told or raised again just below
        _raise(error, uri)


def _raise(error: BaseException, uri: str) -> NoReturn:
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, Trouble):
            raise chain
        status = getattr(getattr(chain, "response", None), "status_code", None)
        if status is not None:
            _refused(int(status), chain, uri)
        chain = chain.__cause__
    if type(error).__module__.partition(".")[0] in ("huggingface_hub", "httpx", "httpx2", "httpcore") or isinstance(
        error, OSError
    ):
        raise Trouble(
            f"{uri} can't be reached",
            why=f"{type(error).__name__}: {str(error)[:200]}",
            remedy="check the network, HTTPS_PROXY and HF_ENDPOINT, then run the same command again",
            code="network",
        ) from error
    raise error


def _refused(status: int, error: BaseException, uri: str) -> NoReturn:
    said = re.sub(r"\s+", " ", str(error))[:200]
    if status in (401, 403):
        raise Trouble(
            f"{uri} may not be written to",
            why=f"the hub refuses the token in HF_TOKEN (status {status}: {said})",
            remedy=f"use a token with write access to it: {SITE}/settings/tokens",
            code="hub-access",
        ) from error
    if status in (409, 412):
        raise raced("the branch", uri) from error
    raise Trouble(
        f"the hub refused a write to {uri}",
        why=f"status {status}: {said}",
        remedy="run the same command again: what is committed is not sent twice",
        code="hub-refused",
    ) from error
