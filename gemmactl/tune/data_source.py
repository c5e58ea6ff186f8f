"""Where DATA is, as bytes held fast: a file, one object of a bucket, a split of a dataset of the Hub. Judges no row."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from finetune_image.contract import TuneFailed
from finetune_image.data import files as data_files
from finetune_image.data.problem import Bad, Problem
from gemmactl.checkpoint.files import Files
from gemmactl.errors import Trouble, refused, usage
from gemmactl.serving.folder import Committed
from gemmactl.tune import hub_split
from gemmactl.tune.failing import trouble

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud

LARGEST: Final = 2 << 30
"""Bytes of data that are read here: more would train for weeks on one GPU."""
_HUB: Final = re.compile(r"hf:(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?::(?P<split>[\w.-]+))?")
_OBJECT: Final = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]+[a-z0-9])/(?P<name>.*[^/])")


def datasets(text: str) -> Files:
    """A dataset of the Hub, read with the token of HF_TOKEN."""
    from gemmactl.local.hub import HubFiles

    return HubFiles.briefly(text, os.environ, dataset=True)


@dataclass(frozen=True)
class Places:
    """Where data may lie. `cloud` is called for gs:// alone, so that a file needs neither project nor credentials."""

    cloud: Callable[[], Cloud]
    folder: Path = field(default_factory=Path.cwd)
    """Of relative paths."""
    datasets: Callable[[str], Files] = datasets


@dataclass(frozen=True)
class Source:
    """`name`: of the file, as problems call it and as it lies in the bucket. `origin`: as typed, with generation or commit."""

    name: str
    origin: str
    content: bytes = field(repr=False)
    uri: str = ""
    """Of the object that these bytes are already; empty: none."""
    generation: int = 0
    files: tuple[str, ...] = ()
    """Of a dataset: those that the split is made of."""


def open_source(text: str, places: Places) -> Source:
    """Read DATA.

    Raises:
        Trouble: (usage) it is none of the three forms; (refused) it is not there, too large or may not be read.
    """
    if text.startswith("gs://"):
        return _object(text, places)
    if text.startswith("hf:"):
        return _split(text, places)
    if "://" in text:
        raise usage(
            f"{text} is no place that data is read from",
            why="data is a file, gs://BUCKET/FILE or hf:owner/name[:split]",
            remedy="download it, then name the file",
            code="data-place",
        )
    path = places.folder / Path(text).expanduser()
    try:
        _limit(path.stat().st_size, text)
        return Source(path.name, text, path.read_bytes())
    except OSError as error:
        why = "it is a directory: name the file" if isinstance(error, IsADirectoryError) else error.strerror or str(error)
        raise _missing(text, why) from None


def _object(text: str, places: Places) -> Source:
    found = _OBJECT.fullmatch(text)
    if found is None:
        raise usage(
            f"{text} is no object",
            why="the form is gs://BUCKET/FILE",
            remedy="name one file, for example gs://BUCKET/data.jsonl",
            code="data-place",
        )
    storage = places.cloud().storage
    info = storage.stat(found["bucket"], found["name"])
    if info is None:
        raise _missing(text, "there is no such object")
    _limit(info.size, text)
    content = storage.read(found["bucket"], found["name"], if_generation=info.generation)
    if content is None:
        raise _missing(text, "it was removed while it was read")
    return Source(PurePosixPath(found["name"]).name, f"{text}#{info.generation}", content, text, info.generation)


def _split(text: str, places: Places) -> Source:
    found = _HUB.fullmatch(text)
    if found is None:
        raise usage(
            f"{text} is no dataset",
            why="the form is hf:owner/name, hf:owner/name:split or hf:owner/name@revision:split",
            remedy="for example hf:b-mc2/sql-create-context",
            code="data-place",
        )
    repository, split = f"hf:{found['id']}", found["split"] or "train"
    files = places.datasets(repository + (f"@{found['revision']}" if found["revision"] else ""))
    commit = files.commit() if isinstance(files, Committed) else ""
    if commit:
        files = places.datasets(f"{repository}@{commit}")  # a branch may move between two files
    names = hub_split.choose(files, split)
    _limit(sum(files.sizes[name] for name in names), text)
    contents = [(name, files.read(name, 0, files.sizes[name])) for name in names]
    origin = f"{repository}@{commit}:{split}" if commit else text
    if len(contents) == 1:
        name, content = contents[0]
        return Source(PurePosixPath(name).name, origin, content, files=tuple(names))
    return Source(f"{split}.jsonl", origin, _joined(contents, text), files=tuple(names))


def _joined(contents: list[tuple[str, bytes]], text: str) -> bytes:
    """The records of several files as one JSON Lines: the same bytes for the same files, so that the run is the same."""
    lines = [json.dumps(record, ensure_ascii=False, default=str) for record in _records(contents, text)]
    return ("\n".join(lines) + "\n").encode()


def _records(contents: list[tuple[str, bytes]], text: str) -> Iterator[dict[str, Any]]:
    try:
        for name, content in contents:
            for line, record in data_files.records(content, name):
                if isinstance(record, Bad):
                    raise refused(
                        f"{text} can't be read",
                        why=str(Problem(name, line, record.reason)),
                        remedy="take another split or revision, or download the file and correct it",
                        code="data-invalid",
                    )
                yield record
    except TuneFailed as failed:
        raise trouble(failed) from None


def _limit(size: int, text: str) -> None:
    if size > LARGEST:
        raise refused(
            f"{text} has {size / 1e9:.1f} GB",
            why=f"at most {LARGEST >> 30} GiB are read: one GPU trains on about 5 MB of text in an hour",
            remedy="name a smaller file; --limit chooses rows of one that is read",
            code="data-too-large",
        )


def _missing(text: str, why: str) -> Trouble:
    return refused(
        f"{text} can't be read",
        why=why,
        remedy="check the name; gemmactl finetune check DATA reads it alone",
        code="data-not-found",
    )
