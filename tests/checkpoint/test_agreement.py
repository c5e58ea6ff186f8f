"""Small random damage to a sound folder: inspect and engine end alike. Knows what is damaged, not what is to be said of it.

Held to each other: what inspect passes loads; what the engine refuses, inspect refuses first with the same code; and the table of
tokenizer.json's parts against the library that reads them. Left out: regular expressions and parts written as lists, which
`tokenizer_parts` does not judge as the library does, and NaN among the weights, which no header tells.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_image import layout
from inference_image.contract import LoadFailed
from inference_image.engine.text import Text, TokenizerFiles
from inference_image.families import GEMMA3
from tests.checkpoint import zoo
from tests.checkpoint.test_zoo import engine_refuses, look

ROWS = 1024
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 1 << 24, 1 << 32, 1 << 64, 10**400, 0.5, 1e-320, 1e308, float("inf"), float("nan"),
    "", "x", "yarn", "gemma3", "\ud800", [], {}, {"type": "Zip"}, {"a": 1},
)  # fmt: skip
SIZES = (3, 1 << 24, 1e-320, 1e308, "gemma3")
"""What only a config may find odd."""
LONG = ("vocab", "merges")
"""What is no part: thousands of like rows."""
FILES = ("config.json", "generation_config.json", "tokenizer_config.json", zoo.INDEX)
Place = tuple[Any, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """The way to every value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*at, key)
        if key not in LONG:
            yield from places(one, (*at, key))


def damaged(document: Any, number: int, value: Any, *, leave_out: bool) -> Any:
    """The document with one value inside replaced or left out."""
    made = copy.deepcopy(document)
    found = list(places(made))
    *way, last = found[number % len(found)]
    owner = made
    for key in way:
        owner = owner[key]
    if leave_out:
        del owner[last]
    else:
        owner[last] = copy.deepcopy(value)
    return made


def _parts() -> Any:
    """A tokenizer with every kind of part, so that each row of the table can be damaged."""
    space = {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True}
    marks = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    text = {"String": "a"}
    normalizers = [
        {"type": "NFC"}, {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Prepend", "prepend": "_"},
        {"type": "Replace", "pattern": text, "content": "b"},
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
    ]  # fmt: skip
    cuts = [
        {"type": "Split", "pattern": text, "behavior": "Isolated", "invert": False},
        {"type": "Punctuation", "behavior": "Removed"}, {"type": "Digits", "individual_digits": True},
        {"type": "CharDelimiterSplit", "delimiter": "x"}, space, marks,
        {"type": "FixedLength", "length": 3},
    ]  # fmt: skip
    decoders = [
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 0, "stop": 0}, {"type": "BPEDecoder", "suffix": "_"}, space,
        {"type": "WordPiece", "prefix": "#", "cleanup": True}, marks,
        {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True},
    ]  # fmt: skip
    first = {"SpecialToken": {"id": "a", "type_id": 0}}
    specials = {"a": {"id": "a", "ids": [0], "tokens": ["a"]}}
    single = [first, {"Sequence": {"id": "A", "type_id": 0}}]
    template = {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": specials}
    processors = [template, {"type": "BertProcessing", "sep": ["a", 0], "cls": ["a", 0]}, marks]
    padding = {
        "strategy": {"Fixed": 9},
        "direction": "Left",
        "pad_to_multiple_of": 8,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "a",
    }
    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = {
        "type": "BPE", "dropout": None, "unk_token": "a", "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": True, "byte_fallback": False, "ignore_merges": False,
        "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]],
    }  # fmt: skip
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0},
        "padding": padding,
        "added_tokens": [{"id": 0, "content": "a", **token}, {"id": 3, "content": "c", **token}],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": cuts},
        "post_processor": {"type": "Sequence", "processors": processors},
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": model,
    }


PARTS = _parts()


def _library_refuses(data: bytes) -> bool:
    try:
        Text(TokenizerFiles(data, {}, None), GEMMA3, ROWS).plain("Hello")
    except LoadFailed:
        return True
    except BaseException as error:  # the Rust side raises bare Exception, and a panic of its own that is none
        return not isinstance(error, KeyboardInterrupt | SystemExit)
    return False


def _inspect_refuses(data: bytes) -> bool:
    try:
        layout.require_vocabulary(layout.vocabulary(layout.check_tokenizer(data)), ROWS)
    except LoadFailed:
        return True
    return False


def test_the_whole_tokenizer_is_read_by_both() -> None:
    """The one that is damaged below is sound, so that each refusal comes from its damage."""
    data = json.dumps(PARTS).encode()
    assert not _inspect_refuses(data)
    assert not _library_refuses(data)


def test_a_damaged_tokenizer_is_refused_exactly_when_the_library_does() -> None:
    """Each part and setting replaced by each odd value, and left out."""
    apart = []
    for number, place in enumerate(places(PARTS)):
        for value, leave_out in (*((odd, False) for odd in ODD if odd not in SIZES), (None, True)):
            data = json.dumps(damaged(PARTS, number, value, leave_out=leave_out)).encode()
            if _inspect_refuses(data) != _library_refuses(data):
                apart.append((place, "left out" if leave_out else repr(value)[:40]))
    assert not apart


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two sound folders, each damaged in place and mended after."""
    root = tmp_path_factory.mktemp("sound")
    zoo.text(root / "text")
    zoo.whole(root / "whole")
    return {"text": root / "text", "whole": root / "whole"}


def _both(folder: Path) -> tuple[str | None, str | None]:
    """The refusal of inspect's first error, and the engine's."""
    errors = look(folder).errors
    return (str(errors[0].refusal) if errors else None), engine_refuses(folder)


DAMAGE = given(
    kind=st.sampled_from(("text", "whole")),
    name=st.sampled_from(FILES),
    number=st.integers(0, 60),
    value=st.sampled_from(ODD),
    leave_out=st.booleans(),
    shard_too=st.sampled_from((False, False, False, True)),
)


def _ends_alike(folder: Path, name: str, number: int, value: Any, *, leave_out: bool, shard_too: bool) -> None:
    kept = {path: (folder / path).read_bytes() for path in (name, zoo.FIRST)}
    try:
        (folder / name).write_text(json.dumps(damaged(json.loads(kept[name]), number, value, leave_out=leave_out)))
        if shard_too:
            (folder / zoo.FIRST).write_bytes(kept[zoo.FIRST][:-1])
        inspected, loaded = _both(folder)
        assert inspected == loaded
    finally:
        for path, data in kept.items():
            (folder / path).write_bytes(data)


@settings(max_examples=25, derandomize=True, database=None, deadline=None)
@DAMAGE
def test_a_damaged_folder_ends_alike(
    folders: dict[str, Path], kind: str, name: str, number: int, value: Any, **how: bool
) -> None:
    """One setting of a small file odd or gone, at times with a cut shard too: the same end; the first error is the engine's."""
    _ends_alike(folders[kind], name, number, value, **how)


@pytest.mark.long
@settings(max_examples=1000, derandomize=True, database=None, deadline=None)
@DAMAGE
def test_much_damage_ends_alike(folders: dict[str, Path], kind: str, name: str, number: int, value: Any, **how: bool) -> None:
    """The same a thousand times, for minutes."""
    _ends_alike(folders[kind], name, number, value, **how)


def test_a_missing_index_is_told_before_a_broken_header(tmp_path: Path) -> None:
    """The engine looks for the index first: a broken header behind it changes nothing."""
    zoo.text(tmp_path / "m")
    (tmp_path / "m" / zoo.INDEX).unlink()
    data = (tmp_path / "m" / zoo.FIRST).read_bytes()
    (tmp_path / "m" / zoo.FIRST).write_bytes(data[:8] + b"[" + data[9:])
    assert _both(tmp_path / "m") == ("index_invalid", "index_invalid")
