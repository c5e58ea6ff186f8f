"""The data of a run as it will lie in the bucket: read, checked by row, and known by the sha256 of its bytes. Uploads nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from shlex import quote

from finetune_image import contract
from finetune_image.contract import TuneFailed
from finetune_image.data.rows import Rows, read, refuse
from finetune_image.data.split import Split, require, split
from finetune_image.run import Data, File
from gemmactl.tune.data_source import Places, Source, open_source
from gemmactl.tune.failing import trouble


@dataclass(frozen=True)
class Prepared:
    """One data file: the user's, byte for byte, or the files of a split as one JSON Lines."""

    source: Source
    rows: Rows = field(repr=False)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def content(self) -> bytes:
        """What is uploaded."""
        return self.source.content

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.source.content).hexdigest()

    @property
    def object(self) -> str:
        """Its name in the bucket: by content, so that the same file is uploaded once."""
        return f"{contract.DATA}/{self.sha256}/{self.name}"

    def file(self, bucket: str) -> File:
        """As a run names it. `bucket`: `gs://bucket` or a directory."""
        return File(f"{bucket}/{self.object}", self.sha256, len(self.rows.rows))


@dataclass(frozen=True)
class PreparedData:
    """`eval`: a file of held-out rows, where there is one."""

    train: Prepared
    eval: Prepared | None
    split: Split = field(repr=False)
    """Which rows are trained and which are held out: what the worker will choose."""


def resolve(data: Data, places: Places, *, faults: bool = False) -> PreparedData:
    """Read and check all data of a wish. `faults`: hand on what can't be used instead of refusing it.

    Raises:
        Trouble: (usage) a place or template that can't be; (refused) it can't be read, or a row can't be used.
    """
    train = _prepared(data.train, data, places, faults)
    own = _prepared(data.eval, data, places, faults) if isinstance(data.eval, str) else None
    made = split(train.rows, data, own.rows if own else None)
    try:
        return PreparedData(train, own, made if faults else require(made, train.name))
    except TuneFailed as failed:
        raise trouble(failed) from None


def _prepared(text: str, data: Data, places: Places, faults: bool) -> Prepared:
    source = open_source(text, places)
    try:
        rows = read(source.content, data, source.name)
        if not faults:
            refuse(rows)
    except TuneFailed as failed:
        told = trouble(failed)
        told.remedy = told.remedy.replace(" DATA ", f" {quote(text)} ")
        raise told from None
    return Prepared(source, rows)
