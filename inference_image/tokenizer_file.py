"""Owns what tokenizer.json says, as far as it can be read without the library tokenizers. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.small_files import check_pointer, natural

_PARTS: Final = frozenset(
    {
        "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model",
    }
)  # fmt: skip
_MODELS: Final = ("BPE", "Unigram", "WordPiece", "WordLevel", None)
_LARGEST_ID: Final = (1 << 32) - 1
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")


def check_tokenizer(data: bytes) -> Mapping[str, Any]:
    """tokenizer.json, parsed. Raises LoadFailed(tokenizer_invalid) for what the library tokenizers would refuse as well.

    For inspect: the engine leaves the content to tokenizers, which reads it anyway (0.5 s of CPU for Gemma's 33 MB saved), and
    shares the comparison with the model, `require_vocabulary`.
    """
    check_pointer(data, contract.TOKENIZER, Code.TOKENIZER_INVALID)
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _no_tokenizer(f"not valid JSON: {error}"[:200]) from None
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise _no_tokenizer("no model in it")
    model = value["model"]
    if strange := sorted(value.keys() - _PARTS):
        raise _no_tokenizer(f"an unknown part {strange[0][:40]!r}")
    if value.get("version", "1.0") != "1.0":
        raise _no_tokenizer(f"version {str(value['version'])[:20]!r}; read is 1.0")
    if model.get("type") not in _MODELS:
        raise _no_tokenizer(f"a model of type {str(model['type'])[:40]!r}")
    added = value.get("added_tokens", [])
    for row in added if isinstance(added, list) else [added]:
        flags = isinstance(row, dict) and all(isinstance(row.get(flag), bool) for flag in _FLAGS)
        if not flags or not natural(row.get("id"), _LARGEST_ID) or not isinstance(row.get("content"), str):
            raise _no_tokenizer(f"a bad row in added_tokens: {str(row)[:60]}")
    _check_vocabulary(model)
    return value


def _check_vocabulary(model: Mapping[str, Any]) -> None:
    known = _model_tokens(model)
    if not known:
        raise _no_tokenizer("no vocabulary in it")
    if not all(natural(number, _LARGEST_ID) for number in known.values()):
        raise _no_tokenizer("a token whose number is none")
    merges = model.get("merges")
    if model.get("type", "BPE") != "BPE":
        return
    if not isinstance(merges, list):
        raise _no_tokenizer("a BPE model without merges")
    of_text = bool(merges) and isinstance(merges[0], str)
    cut = len(model.get("continuing_subword_prefix") or "")
    for merge in merges:
        pair = merge.split(" ") if of_text and isinstance(merge, str) else merge
        if of_text and str(merge).startswith("#version"):
            continue
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(half, str) for half in pair):
            raise _no_tokenizer(f"a merge that is no pair: {str(merge)[:40]!r}")
        if pair[0] not in known or pair[1] not in known or pair[0] + pair[1][cut:] not in known:
            raise _no_tokenizer(f"a merge of tokens that are not in its vocabulary: {str(merge)[:40]!r}")


def _model_tokens(model: Mapping[str, Any]) -> Mapping[str, int]:
    """{token: number} of tokenizer.json's model; Unigram has a list of (token, score)."""
    vocab = model.get("vocab")
    if isinstance(vocab, list):
        rows = [row[0] for row in vocab if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)]
        return {token: number for number, token in enumerate(rows)} if len(rows) == len(vocab) else {}
    return vocab if isinstance(vocab, dict) else {}


def _added_tokens(tokenizer: Mapping[str, Any]) -> dict[str, tuple[int, bool]]:
    """{token: (number, special)} of added_tokens, numbered as tokenizers does: the file's own number does not count.

    A token of the model keeps the model's; the others follow the model's last, in the order of the file.
    """
    known = _model_tokens(tokenizer["model"])
    made: dict[str, tuple[int, bool]] = {}
    following = len(known)
    for row in tokenizer.get("added_tokens") or ():
        token = row["content"]
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


def _no_tokenizer(detail: str) -> LoadFailed:
    return LoadFailed(Code.TOKENIZER_INVALID, contract.TOKENIZER, detail)
