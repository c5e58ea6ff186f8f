"""A model or dataset on a Hugging Face hub as Files: names, sizes, content ids, ranges, and failures of the hub as Troubles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

from gemmactl.checkpoint.files import Entry
from gemmactl.errors import Trouble, refused, usage
from inference_image import contract
from inference_image.contract import Code, LoadFailed

if TYPE_CHECKING:
    from inference_image.chunks.hub import HubSource
    from inference_image.chunks.source import Object, Patience

SITE: Final = "https://huggingface.co"
"""Where a person accepts a licence, whatever HF_ENDPOINT says."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFiles:
    """`hf:owner/name[@revision]`. A file is read only as the content that was listed; safe from many threads."""

    uri: str
    environ: Mapping[str, str] = field(repr=False)
    patience: Patience | None = field(default=None, repr=False)
    dataset: bool = False
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @classmethod
    def briefly(cls, uri: str, environ: Mapping[str, str], *, dataset: bool = False) -> HubFiles:
        """For a look while somebody waits in front of a screen: a hub that does not answer is told within seconds."""
        from inference_image.chunks.source import Patience

        return cls(uri, environ, Patience(attempts=4, first=0.25, longest=2.0, stall=10.0), dataset)

    @property
    def place(self) -> str:
        return self.uri

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        return {name: _entry(one) for name, one in self._objects.items()}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        return {name: one.size for name, one in self._objects.items()}

    @property
    def emptiness(self) -> str:
        return "the revision holds no files"

    def read(self, name: str, start: int, end: int) -> bytes:
        from inference_image.chunks.source import Buffer

        one = self._objects.get(name)
        beyond = min(end, one.size) if one else 0
        if one is None or beyond <= start:
            return b""
        buffer = Buffer(beyond - start, start)
        try:
            self._source.read(one, start, beyond, buffer)
        except LoadFailed as failed:
            raise self._told(failed) from failed
        return bytes(buffer.data)

    def nearby(self, leaf: str) -> tuple[str, ...]:
        return ()

    def below(self) -> tuple[str, ...]:
        return tuple(name for name in self.entries if "/" in name)

    def write_new(self, name: str, data: bytes) -> None:
        """Nothing is written to somebody's repository by the way; `gemmactl copy` makes a folder of one's own."""
        raise refused(
            f"{name} can't be written to {self.uri}",
            why="a repository of the hub is only read",
            remedy="copy the model to a bucket first: gemmactl copy",
            code="not-writable",
            facts={"object": name},
        )

    def commit(self) -> str:
        """The commit that the revision is now.

        Raises:
            Trouble: the hub does not say.
        """
        try:
            return self._source.commit()
        except LoadFailed as failed:
            raise self._told(failed) from failed

    def again(self) -> HubFiles:
        return HubFiles(self.uri, self.environ, self.patience, self.dataset)

    def _told(self, failed: LoadFailed) -> Trouble:
        token = bool(self.environ.get(contract.ENV_HF_TOKEN, "").strip())
        return trouble(failed, self.uri, token=token, kind="dataset" if self.dataset else "model")

    @property
    def _objects(self) -> Mapping[str, Object]:
        with self._lock:  # the tree is asked for once, by whichever thread comes first
            return self._listed

    @cached_property
    def _listed(self) -> Mapping[str, Object]:
        try:
            return {one.name: one for one in self._source.walk()}
        except LoadFailed as failed:
            raise self._told(failed) from failed

    @cached_property
    def _source(self) -> HubSource:
        from inference_image.chunks.hub import HubSource
        from inference_image.chunks.source import Patience

        try:
            return HubSource(self.uri, self.environ, patience=self.patience or Patience(), dataset=self.dataset)
        except LoadFailed as failed:
            raise self._told(failed) from failed


def _entry(one: Object) -> Entry:
    # the tree states a sha256 for what lies in LFS and git's own blob id for the rest
    return Entry(one.size, version=one.generation, sha256=one.generation if _SHA256.fullmatch(one.generation) else "")


def trouble(failed: LoadFailed, uri: str, *, token: bool, kind: Literal["model", "dataset"] = "model") -> Trouble:
    """A failure of the hub as every error is shown. `token`: whether HF_TOKEN is set."""
    failure = failed.failure
    name = uri.removeprefix("hf:").partition("@")[0]
    page = f"{SITE}/{'datasets/' if kind == 'dataset' else ''}{name}"
    detail, facts = failure.detail, {"hub": uri, "hub_code": str(failure.code), "object": failure.object}
    if failure.code is Code.ACCESS_DENIED:
        accept = f"accept its terms at {page} as the account that the token belongs to"
        if token:
            why = f"the {kind} is gated or private, and the hub refuses the token in HF_TOKEN ({detail})"
            remedy = f"{accept}; a fine-grained token also needs read access to gated repositories"
        else:
            why = f"the {kind} is gated or private, or there is none of this name; HF_TOKEN is not set ({detail})"
            remedy = f"{accept}, then set the variable HF_TOKEN to a read token of it ({SITE}/settings/tokens)"
        return refused(f"{uri} may not be read", why=why, remedy=remedy, code="hub-access", facts=facts)
    if failure.code in (Code.MODEL_NOT_FOUND, Code.SHARD_MISSING):
        return refused(
            f"{uri} is not there" if failure.code is Code.MODEL_NOT_FOUND else f"{failure.object} is gone from {uri}",
            why=f"the hub says: {detail}",
            remedy=f"check owner, name and revision at {page}; a private {kind} needs HF_TOKEN",
            code="hub-missing",
            facts=facts,
        )
    if failure.code is Code.OBJECT_CHANGED:
        return Trouble(
            f"{failure.object} of {uri} changed while it was read",
            why=detail,
            remedy="run the same command again; to hold one state fast, name a commit: hf:owner/name@COMMIT",
            code="source-changed",
            facts=facts,
        )
    if failure.code is Code.SETTING_INVALID:
        return usage(f"{uri} is not a Hugging Face {kind}", why=detail, remedy="write hf:owner/name[@revision]", code="model-uri")
    return Trouble(
        f"{uri} can't be reached",
        why=f"{failure.object}: {detail}",
        remedy="check the network, HTTPS_PROXY and HF_ENDPOINT, then run the same command again",
        code="network",
        facts=facts,
    )
