"""Owns what tokenizer.json says, as far as it can be read without the library tokenizers. Standard library only."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.small_files import check_pointer, natural
from inference_image.tokenizer_parts import strange_part, strange_setting, too_deep

_PARTS: Final = frozenset(
    {
        "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model",
    }
)  # fmt: skip
_MODELS: Final = ("BPE", "Unigram", "WordPiece", "WordLevel")
_LARGEST_ID: Final = (1 << 32) - 1
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")
_ONCE: Final = frozenset({"type", "id", "content", *_FLAGS, *_PARTS})
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def check_tokenizer(data: bytes) -> Mapping[str, Any]:
    """tokenizer.json, parsed. Raises LoadFailed(tokenizer_invalid) for what the library tokenizers would refuse as well.

    For inspect: the engine leaves the content to tokenizers, which reads it anyway (0.5 s of CPU for Gemma's 33 MB saved), and
    shares the comparisons with the model and its own vocabulary, `require_vocabulary` and `require_unknown`.
    """
    check_pointer(data, contract.TOKENIZER, Code.TOKENIZER_INVALID)
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_number, parse_int=_whole, parse_float=_real
        )
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a pair is a text in Python alone
        if too_deep(value):
            raise ValueError("too many levels")
    except (ValueError, RecursionError) as error:
        raise _no_tokenizer(f"not valid JSON: {error}"[:200]) from None
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise _no_tokenizer("no model in it")
    model = value["model"]
    if strange := sorted(value.keys() - _PARTS):
        raise _no_tokenizer(f"an unknown part {strange[0][:40]!r}")
    if value.get("version", "1.0") != "1.0":
        raise _no_tokenizer(f"version {str(value['version'])[:20]!r}; read is 1.0")
    if model.get("type", _MODELS[0]) not in _MODELS:
        raise _no_tokenizer(f"a model of type {str(model['type'])[:40]!r}")
    if part := strange_part(value):
        raise _no_tokenizer(f"its {part} is none that can be read: {str(value[part])[:60]}")
    added = value.get("added_tokens", [])
    for row in added if isinstance(added, list) else [added]:
        flags = isinstance(row, dict) and all(isinstance(row.get(flag), bool) for flag in _FLAGS)
        if not flags or not natural(row.get("id"), _LARGEST_ID) or not isinstance(row.get("content"), str):
            raise _no_tokenizer(f"a bad row in added_tokens: {str(row)[:60]}")
    _check_vocabulary(model, _kind(model))
    return value


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The library takes the last of two keys, like Python, but not in a token, for the type of a model and for a broken part."""
    made = dict(pairs)
    if len(made) != len(pairs) and not made.keys().isdisjoint(("special", "vocab", "model")):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen and key in _ONCE:
                raise ValueError(f"{key} twice")
            seen.add(key)
    return made


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _real(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("a number out of range")
    return value


def _whole(text: str) -> float:
    """An integer as the library reads it: `-0` is none."""
    return int(text) if len(text) < 300 and text != "-0" else _real(text)


def _kind(model: Mapping[str, Any]) -> str:
    """The type of the model; old files leave it to what is in it."""
    guessed = "BPE" if "merges" in model else "Unigram" if isinstance(model.get("vocab"), list) else "WordLevel"
    return str(model.get("type", guessed))


def _check_vocabulary(model: Mapping[str, Any], kind: str) -> None:
    known = _model_tokens(model)
    if not known or isinstance(model["vocab"], list) != (kind == "Unigram"):
        raise _no_tokenizer("no vocabulary in it")
    if not all(natural(number, _LARGEST_ID) for number in known.values()):
        raise _no_tokenizer("a token whose number is none")
    if strange := strange_setting(model, kind):
        raise _no_tokenizer(f"{strange} of its model is {str(model.get(strange))[:40]}")
    if kind == "Unigram":
        if (model.get("unk_id") or 0) >= len(model["vocab"]):
            raise _no_tokenizer("its unk_id is beyond its vocabulary")
        return
    if not model.get("byte_fallback"):
        require_unknown(model.get("unk_token"), known.__contains__)
    if kind == "BPE":
        _check_merges(model, known)


def _check_merges(model: Mapping[str, Any], known: Mapping[str, int]) -> None:
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise _no_tokenizer("a BPE model without merges")
    of_text = bool(merges) and isinstance(merges[0], str)
    cut = len((model.get("continuing_subword_prefix") or "").encode())
    for merge in merges:
        if of_text and isinstance(merge, str) and merge.startswith("#version"):
            continue
        pair = merge.split(" ") if of_text and isinstance(merge, str) else () if of_text else merge
        if not isinstance(pair, list) or len(pair) != 2:
            raise _no_tokenizer(f"a merge that is no pair: {str(merge)[:40]!r}")
        left, right = pair  # half a million of them: no call for each
        if not isinstance(left, str) or not isinstance(right, str):
            raise _no_tokenizer(f"a merge that is no pair: {str(merge)[:40]!r}")
        if left not in known or right not in known or (_merged(left, right, cut) if cut else left + right) not in known:
            raise _no_tokenizer(f"a merge of tokens that are not in its vocabulary: {str(merge)[:40]!r}")


def _merged(left: str, right: str, cut: int) -> str:
    """What two tokens become: the library cuts the prefix off by its bytes, whatever stands there."""
    try:
        if len(right.encode()) >= cut:
            return left + right.encode()[cut:].decode()
    except UnicodeDecodeError:
        pass
    raise _no_tokenizer(f"a merge whose right half has no such prefix: {right[:40]!r}")


def _model_tokens(model: Mapping[str, Any]) -> Mapping[str, int]:
    """{token: number} of tokenizer.json's model; Unigram has a list of (token, score)."""
    vocab = model.get("vocab")
    if isinstance(vocab, list):
        rows = [row[0] for row in vocab if _scored(row)]
        return {token: number for number, token in enumerate(rows)} if len(rows) == len(vocab) else {}
    return vocab if isinstance(vocab, dict) else {}


def _scored(row: object) -> bool:
    if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], str):
        return False
    return isinstance(row[1], int | float) and not isinstance(row[1], bool)


def _added_tokens(tokenizer: Mapping[str, Any]) -> dict[str, tuple[int, bool]]:
    """{token: (number, special)} of added_tokens, numbered as tokenizers does: the file's own number does not count.

    A token of the model keeps the model's; the others follow the model's last, in the order of the file.
    """
    known = _model_tokens(tokenizer["model"])
    made: dict[str, tuple[int, bool]] = {}
    following = len(known)
    for row in tokenizer.get("added_tokens") or ():
        token = row["content"]
        if not token:
            continue  # passed over by the library, without a number
        number = known.get(token, made[token][0] if token in made else following)
        following = max(following, number + 1)
        made[token] = (number, bool(row["special"]))
    return made


def vocabulary(tokenizer: Mapping[str, Any]) -> int:
    """How many numbers of tokens a text can become, from check_tokenizer's result.

    Special tokens beyond the model's own are not counted: the engine never makes one of them. Google's tokenizer for all sizes
    of Gemma 3 holds an image token that the 1B model has no row for.
    """
    added = (number + 1 for number, special in _added_tokens(tokenizer).values() if not special)
    return max([len(_model_tokens(tokenizer["model"])), *added])


def token_ids(tokenizer: Mapping[str, Any], tokens: Iterable[str]) -> dict[str, int]:
    """{token: number} of those tokens that the tokenizer has."""
    known, added = _model_tokens(tokenizer["model"]), _added_tokens(tokenizer)
    return {token: added[token][0] if token in added else known[token] for token in tokens if token in added or token in known}


def require_vocabulary(known: int, rows: int) -> None:
    """Raises LoadFailed(tokenizer_invalid) when text can become a token that the model has no row for."""
    if known == 0:
        raise _no_tokenizer("no vocabulary in it")
    if known > rows:
        raise _no_tokenizer(f"{known} tokens, the model knows {rows}")


def require_unknown(token: str | None, known: Callable[[str], bool]) -> None:
    """Raises LoadFailed(tokenizer_invalid) when what stands for unknown signs is no token itself: the first one would break."""
    if token is not None and not known(token):
        raise _no_tokenizer(f"{token[:40]!r} stands for what is unknown, and is not in its vocabulary")


def _no_tokenizer(detail: str) -> LoadFailed:
    return LoadFailed(Code.TOKENIZER_INVALID, contract.TOKENIZER, detail)
