"""Owns the form of tokenizer.json's parts: normalizer, pre_tokenizer, post_processor, decoder and their kin. Knows no vocabulary.

What the library tokenizers 0.23.3 takes and refuses, measured row by row; tests hold this table to the library. It can't tell
whether a regular expression compiles: Oniguruma's grammar is not Python's. A part that is written as a list, which the library
takes, is refused: nobody writes that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from inference_image.small_files import natural

_U32: Final = (1 << 32) - 1
_U64: Final = (1 << 64) - 1
Check = Callable[[Any], bool]
Row = Mapping[str, Check]
"""A part's fields. A name that ends with `?` may be left out; fields that no row has are passed over."""


def _bool(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _sign(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1


def _u32(value: Any) -> bool:
    return natural(value, _U32)


def _size(value: Any) -> bool:
    return natural(value, _U64)


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _one_of(*names: str) -> Check:
    return lambda value: value in names if isinstance(value, str) else isinstance(value, dict) and _variant(value, names)


def _variant(value: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return len(value) == 1 and all(name in names and inner is None for name, inner in value.items())


def _pattern(value: Any) -> bool:
    """A text, or a regular expression, which is only known to be a text."""
    return isinstance(value, dict) and len(value) == 1 and all(k in ("String", "Regex") and _text(v) for k, v in value.items())


def _found(value: Any) -> bool:
    """A pattern that is looked for in a prompt: the library reads an empty text and breaks on the first prompt."""
    return _pattern(value) and value.get("String") != ""


def _token(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _text(value[0]) and _u32(value[1])


def _fits(value: Any, row: Row) -> bool:
    if not isinstance(value, dict):
        return False
    given = ((value.get(name.rstrip("?")), name.rstrip("?") in value, name[-1] == "?", check) for name, check in row.items())
    return all(check(one) if there else optional for one, there, optional, check in given)


def _pieces(value: Any) -> bool:
    """`single` and `pair` of a template of special tokens."""

    def piece(one: Any) -> bool:
        if not isinstance(one, dict) or len(one) != 1:
            return False
        kind, inner = next(iter(one.items()))
        name = {"Sequence": _one_of("A", "B"), "SpecialToken": _text}.get(kind)
        return name is not None and _fits(inner, {"id": name, "type_id": _u32})

    return isinstance(value, list) and all(map(piece, value))


def _specials(value: Any) -> bool:
    def ids(found: Any) -> bool:
        return isinstance(found, list) and all(map(_u32, found))

    def tokens(found: Any) -> bool:
        return isinstance(found, list) and all(map(_text, found))

    def special(one: Any) -> bool:
        return _fits(one, {"id": _text, "ids": ids, "tokens": tokens})

    return isinstance(value, dict) and all(map(special, value.values()))


def _space(value: Mapping[str, Any]) -> bool:
    """An old file's add_prefix_space must not contradict the prepend_scheme that came after it."""
    return value.get("add_prefix_space") is not False or value.get("prepend_scheme") in ("never", {"never": None})


def _sequence(kind: str) -> Check:
    return lambda value: isinstance(value, list) and all(_part(kind, one) for one in value)


_BYTES: Final[Row] = {"add_prefix_space": _bool, "trim_offsets": _bool, "use_regex?": _bool}
_SPACE: Final[Row] = {
    "replacement": _sign, "prepend_scheme?": _one_of("first", "never", "always"), "split?": _or_null(_bool),
    "add_prefix_space?": _or_null(_bool), "str_rep?": _or_null(_text),
}  # fmt: skip
_BEHAVIOR: Final = _one_of("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
_ROWS: Final[Mapping[str, Mapping[str, Row]]] = {
    "normalizer": {
        "NFC": {}, "NFD": {}, "NFKC": {}, "NFKD": {}, "Nmt": {}, "Lowercase": {}, "StripAccents": {}, "ByteLevel": {},
        "Strip": {"strip_left": _bool, "strip_right": _bool},
        "Prepend": {"prepend": lambda v: _text(v) and v != ""},  # an empty one breaks on the first prompt
        "Replace": {"pattern": _found, "content": _text},
        "BertNormalizer": {
            "clean_text": _bool, "handle_chinese_chars": _bool, "strip_accents?": _or_null(_bool), "lowercase": _bool,
        },
        "Sequence": {"normalizers": _sequence("normalizer")},
    },
    "pre_tokenizer": {
        "BertPreTokenizer": {}, "Whitespace": {}, "WhitespaceSplit": {}, "UnicodeScripts": {},
        "ByteLevel": _BYTES,
        "CharDelimiterSplit": {"delimiter": _sign},
        "Metaspace": _SPACE,
        "Sequence": {"pretokenizers": _sequence("pre_tokenizer")},
        "Split": {"pattern": _found, "behavior": _BEHAVIOR, "invert": _bool},
        "Punctuation": {"behavior?": _BEHAVIOR},
        "Digits": {"individual_digits": _bool},
        "FixedLength": {"length?": lambda v: _size(v) and v > 0},
    },
    "post_processor": {
        "BertProcessing": {"sep": _token, "cls": _token},
        "RobertaProcessing": {"sep": _token, "cls": _token},
        "ByteLevel": _BYTES,
        "TemplateProcessing": {"single": _pieces, "pair": _pieces, "special_tokens": _specials},
        "Sequence": {"processors": _sequence("post_processor")},
    },
    "decoder": {
        "Fuse": {}, "ByteFallback": {},
        "BPEDecoder": {"suffix": _text},
        "ByteLevel": _BYTES,
        "WordPiece": {"prefix": _text, "cleanup": _bool},
        "Metaspace": _SPACE,
        "CTC": {"pad_token": _text, "word_delimiter_token": _text, "cleanup": _bool},
        "Sequence": {"decoders": _sequence("decoder")},
        "Replace": {"pattern": _pattern, "content": _text},
        "Strip": {"content": _sign, "start": _size, "stop": _size},
    },
    "truncation": {
        "": {
            "direction?": _one_of("Left", "Right"), "max_length": _size, "stride": _size,
            "strategy": _one_of("LongestFirst", "OnlyFirst", "OnlySecond"),
        }
    },
    "padding": {
        "": {
            "strategy": lambda v: _one_of("BatchLongest")(v) or (_fits(v, {"Fixed": _size}) and len(v) == 1),
            "direction": _one_of("Left", "Right"),
            "pad_to_multiple_of?": _or_null(_size), "pad_id": _u32, "pad_type_id": _u32, "pad_token": _text,
        }
    },
}  # fmt: skip
_BARE: Final[Mapping[str, tuple[str, ...]]] = {
    "normalizer": ("Strip", "Prepend", "Replace", "BertNormalizer", "Sequence"),
    "post_processor": ("BertProcessing", "TemplateProcessing"),
    "decoder": ("BPEDecoder", "WordPiece", "CTC", "Replace", "Strip"),
}
"""Rows that are known by their fields where no type, or an unknown one, is written: old files."""
_MODELS: Final[Mapping[str, Row]] = {
    "BPE": {
        "dropout?": lambda v: v is None or (isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 1),
        "unk_token?": _or_null(_text), "continuing_subword_prefix?": _or_null(_text), "end_of_word_suffix?": _or_null(_text),
        "fuse_unk?": _or_null(_bool), "byte_fallback?": _or_null(_bool), "ignore_merges?": _or_null(_bool),
    },
    "WordPiece": {"unk_token": _text, "continuing_subword_prefix": _text, "max_input_chars_per_word": _size},
    "WordLevel": {"unk_token": _text},
    "Unigram": {"unk_id?": _or_null(_size), "byte_fallback?": _bool},
}  # fmt: skip


DEEPEST: Final = 127
"""Levels of objects and lists that the library reads; measured."""


def too_deep(tokenizer: object) -> bool:
    """More levels than the library reads? Walks one level at a time: what is deep must not exhaust the stack here."""
    level = [tokenizer]
    for _ in range(DEEPEST):
        level = [one for outer in level for one in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    """What may go deeper. Vocabulary and merges are long, and refused when one of their rows is not flat."""
    if isinstance(value, dict):
        return [one for name, one in value.items() if isinstance(one, dict | list) and name not in ("vocab", "merges")]
    return [one for one in value if isinstance(one, dict | list)] if isinstance(value, list) else ()


def strange_part(tokenizer: Mapping[str, Any]) -> str:
    """The name of the first part that the library would refuse, of a parsed tokenizer.json; empty when there is none."""
    return next((name for name in _ROWS if tokenizer.get(name) is not None and not _part(name, tokenizer[name])), "")


def strange_setting(model: Mapping[str, Any], kind: str) -> str:
    """The name of the first setting of a model of this kind that the library would refuse; empty when there is none."""
    return next((name.rstrip("?") for name, check in _MODELS[kind].items() if not _fits(model, {name: check})), "")


def _part(kind: str, value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    rows, named = _ROWS[kind], value.get("type")
    if "" in rows:
        return _fits(value, rows[""])
    if isinstance(named, str) and named in rows and (_fits(value, rows[named]) or kind != "post_processor"):
        return _fits(value, rows[named]) and (named != "Metaspace" or _space(value))
    return any(_fits(value, rows[name]) for name in _BARE.get(kind, ()))
