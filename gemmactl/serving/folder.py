"""Where a MODEL's files are, as one thing to read: a bucket's folder, a directory, a repository of the Hub. Judges nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Files
from gemmactl.errors import usage
from gemmactl.spec import Model, parse_model

if TYPE_CHECKING:
    from gemmactl.local.hub_account import HubAccount
    from gemmactl.resources.cloud import Cloud


@runtime_checkable
class Committed(Protocol):
    """Files whose whole state has a name."""

    def commit(self) -> str:
        """The commit that they are read from. Raises Trouble where nobody says."""


Hub = Callable[[str], Files]
"""`hf:owner/name[@revision]` -> its files."""


def hub(text: str) -> Files:
    """A model of the Hub, read with the token of HF_TOKEN."""
    from gemmactl.local.hub import HubFiles

    return HubFiles.briefly(text, os.environ)


def whoami(token: str) -> HubAccount | None:
    """Whose a token of the Hub is; None: the Hub does not know it."""
    from gemmactl.local.hub_account import whoami as ask

    return ask(token, os.environ)


@dataclass(frozen=True)
class Folders:
    """Opens folders. `cloud` is called for gs:// alone, so that a directory needs neither project nor credentials."""

    cloud: Callable[[], Cloud]
    hub: Hub = hub

    def open(self, model: Model) -> Files:
        """The folder of a model; nothing is read yet."""
        match model.kind:
            case "gs":
                return BucketFiles(self.cloud().storage, model.bucket, model.prefix, pinned=True, direct=True)
            case "hf":
                return self.hub(model.text)
            case _:
                return DirectoryFiles(Path(model.text).expanduser())

    def named(self, name: str) -> Files:
        """A base model as adapters name it: gs://, a directory that is there, hf:owner/name or owner/name.

        Raises:
            Trouble: it is none of these.
        """
        if name.startswith(("gs://", "hf:")) or Path(name).expanduser().is_dir():
            return self.open(parse_model(name))
        if name.count("/") == 1 and not name.startswith(("/", ".")):
            return self.open(parse_model(f"hf:{name}"))
        raise usage(
            f"{name} is no place a model can be read from here",
            why="it is a path on the machine that trained, or misspelled",
            remedy="name the base with --base: gs://BUCKET/FOLDER, a directory or hf:owner/name",
            code="base-place",
        )
