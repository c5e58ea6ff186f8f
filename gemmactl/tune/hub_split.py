"""Which files of a dataset repository are a split: by its card, else by their names, as the datasets library chooses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Final

from gemmactl.checkpoint.files import Files
from gemmactl.errors import Trouble, refused

ENDINGS: Final = (".parquet", ".jsonl", ".json", ".csv", ".tsv")
"""The first that a split has files of is taken."""
_CARD: Final = "README.md"
_CARD_MOST: Final = 1 << 20
_WORDS: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Split -> what a file's name calls it. source: the datasets library's SPLIT_KEYWORDS."""
_ABOUT: Final = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.jsonl"})


def choose(files: Files, split: str) -> list[str]:
    """The split's files, by name.

    Raises:
        Trouble: (refused) there are none; the splits that there are.
    """
    names = [name for name in files.sizes if _is_data(name)]
    stated = _stated(files)
    if stated:
        if split not in stated:
            raise _none(files.place, split, stated)
        names = [name for name in names if any(_matches(name, pattern) for pattern in stated[split])]
    else:
        named = [name for name in names if _names_split(name, split)]
        if not named and split == "train":  # a repository with one plain file is its training split
            named = [name for name in names if not any(_names_split(name, other) for other in _WORDS)]
        if not named:
            raise _none(files.place, split, _seen(names))
        names = named
    for ending in ENDINGS:
        if found := sorted(name for name in names if _ending(name) == ending):
            return found
    raise _none(files.place, split, _seen(files.sizes))


def _ending(name: str) -> str:
    return PurePosixPath(name.removesuffix(".gz")).suffix.lower()


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    return _ending(name) in ENDINGS and path.name not in _ABOUT and not any(part.startswith((".", "_")) for part in path.parts)


def _names_split(name: str, split: str) -> bool:
    """`train.jsonl`, `data/train-00000-of-00002.parquet`, `sql_train_v2.csv`, `train/part-1.parquet`."""
    words = "|".join(map(re.escape, _WORDS.get(split, (split,))))
    return re.search(rf"(?:^|[-._ /])(?:{words})(?:[-._ /0-9]|$)", name, re.IGNORECASE) is not None


def _matches(name: str, pattern: str) -> bool:
    # `**/` also stands for no folder at all
    return fnmatchcase(name, pattern) or fnmatchcase(name, pattern.replace("**/", ""))


def _stated(files: Files) -> dict[str, list[str]]:
    """Split -> patterns, of the default configuration in the card's front matter; empty: it states none."""
    size = files.sizes.get(_CARD, 0)
    if not size:
        return {}
    text = files.read(_CARD, 0, min(size, _CARD_MOST)).decode("utf-8", "replace")
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    if front is None or "data_files" not in front[1]:
        return {}
    import yaml

    try:
        card = yaml.safe_load(front[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}  # its author's mistake: the names of the files decide
    configs = card.get("configs") if isinstance(card, dict) else None
    known = [one for one in configs if isinstance(one, dict)] if isinstance(configs, list) else []
    if not known:
        return {}
    chosen = next((one for one in known if one.get("default")), None)
    chosen = chosen or next((one for one in known if one.get("config_name") == "default"), known[0])
    return _patterns(chosen.get("data_files"))


def _patterns(stated: Any) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for one in stated if isinstance(stated, list) else [stated]:
        split, path = (str(one.get("split", "train")), one.get("path")) if isinstance(one, dict) else ("train", one)
        found = [text for text in (path if isinstance(path, list) else [path]) if isinstance(text, str)]
        rows.setdefault(split, []).extend(found)
    return {split: found for split, found in rows.items() if found}


def _seen(names: Iterable[str]) -> Sequence[str]:
    """Splits that names speak of; where none does, the names."""
    names = list(names)
    splits = [split for split in _WORDS if any(_names_split(name, split) for name in names if _is_data(name))]
    return splits or sorted(names)[:8]


def _none(place: str, split: str, known: Iterable[str]) -> Trouble:
    listed = ", ".join(known)
    return refused(
        f"{place} has no split {split}",
        why=f"there are {listed}" if listed else f"it holds none of {', '.join(ENDINGS)}",
        remedy="name one: hf:owner/name:SPLIT; or download its files and name one of them",
        code="data-split",
    )
