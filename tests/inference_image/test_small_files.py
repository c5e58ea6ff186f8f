"""Names, sizes and contents of the files beside the weights: one set of rules for the engine and for inspect."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from inference_image import chat, contract, layout
from inference_image.contract import Code, LoadFailed
from inference_image.engine.text import Text, TokenizerFiles
from tests.inference_image.checkpoints import MODEL

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4961251752\n"
WHOLE = {"config.json": 900, "tokenizer.json": 900, "model.safetensors": 900}


def refusal(sizes: dict[str, int]) -> LoadFailed:
    with pytest.raises(LoadFailed) as failed:
        layout.require_files(sizes, "gs://b/m")
    return failed.value


def without(name: str, **more: int) -> dict[str, int]:
    return {**{key: size for key, size in WHOLE.items() if key != name}, **{k.replace("__", "."): v for k, v in more.items()}}


def test_a_whole_folder_passes() -> None:
    """Config, tokenizer and one shard are enough; other files don't matter."""
    layout.require_files({**WHOLE, "README.md": 0, "optimizer.bin": 1 << 40, "sub/config.json": 0}, "gs://b/m")


@pytest.mark.parametrize(
    ("sizes", "code", "word"),
    [
        (without("config.json"), Code.CONFIG_MISSING, "is it the folder"),
        (without("tokenizer.json"), Code.TOKENIZER_MISSING, "tokenizer"),
        (without("model.safetensors"), Code.SHARD_MISSING, "no safetensors"),
        (without("model.safetensors", adapter_config__json=9, adapter_model__safetensors=9), Code.SHARD_MISSING, "adapter"),
        ({"adapter_config.json": 9, "adapter_model.safetensors": 9}, Code.CONFIG_MISSING, "adapter"),
        (without("model.safetensors", model__gguf=9), Code.SHARD_MISSING, "llama.cpp"),
        (without("model.safetensors", pytorch_model__bin=9), Code.SHARD_MISSING, "pickle"),
        ({**without("model.safetensors"), "sub/model.safetensors": 9}, Code.SHARD_MISSING, "no safetensors"),
        ({**WHOLE, "config.json": 0}, Code.CONFIG_INVALID, "empty"),
        ({**WHOLE, "tokenizer.json": 0}, Code.TOKENIZER_INVALID, "empty"),
        ({**WHOLE, "model.safetensors.index.json": 0}, Code.INDEX_INVALID, "empty"),
    ],
)  # fmt: skip
def test_what_a_list_of_files_tells(sizes: dict[str, int], code: Code, word: str) -> None:
    """What is missing or empty is refused before a byte is read, and what lies there in its place is named."""
    failed = refusal(sizes)
    assert failed.failure.code is code
    assert word in failed.failure.detail


@pytest.mark.parametrize("name", layout.SMALL)
def test_each_small_file_has_a_limit(name: str) -> None:
    """A file at its limit is read, one byte more is refused with the code of the file."""
    layout.require_files({**WHOLE, name: layout.limit_of(name)}, "gs://b/m")
    failed = refusal({**WHOLE, name: layout.limit_of(name) + 1})
    assert failed.failure.object == name
    assert str(layout.limit_of(name)) in failed.failure.detail


def test_shards_are_those_of_the_index() -> None:
    """The index decides; without one it is the single file. What is absent or empty has its code."""
    index = layout.Index({"a": "model-1.safetensors", "b": "model-2.safetensors"})
    there = {"model-1.safetensors": 9, "model-2.safetensors": 9, "model.safetensors": 9}
    assert layout.shards_of(index, there) == ("model-1.safetensors", "model-2.safetensors")
    assert layout.shards_of(None, there) == ("model.safetensors",)
    for sizes, code in (
        ({}, Code.SHARD_MISSING),
        ({**there, "model-2.safetensors": 0}, Code.SHARD_TRUNCATED),
    ):
        with pytest.raises(LoadFailed) as failed:
            layout.shards_of(index, sizes)
        assert failed.value.failure.code is code
    with pytest.raises(LoadFailed) as failed:
        layout.shards_of(None, {"model-1.safetensors": 9})
    assert failed.value.failure.code is Code.INDEX_INVALID


def test_a_git_lfs_pointer_is_called_one_everywhere() -> None:
    """A repository that was cloned without its large files is named as such, in shards and in small files."""
    for code, read in {
        Code.HEADER_INVALID: lambda: layout.header_end(POINTER[:8], "s", len(POINTER)),
        Code.CONFIG_INVALID: lambda: layout.parse_json(POINTER, contract.CONFIG, Code.CONFIG_INVALID),
        Code.INDEX_INVALID: lambda: layout.parse_index(POINTER),
    }.items():
        with pytest.raises(LoadFailed, match="Git LFS pointer") as failed:
            read()
        assert failed.value.failure.code is code
    for read in (lambda: layout.check_tokenizer(POINTER), lambda: chat.template_text(POINTER)):
        with pytest.raises(LoadFailed, match="Git LFS pointer") as failed:
            read()
        assert failed.value.failure.code is Code.TOKENIZER_INVALID


# --- tokenizer.json: the same verdict as the library tokenizers, without it ----------------------------

BPE: dict[str, Any] = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
    "post_processor": None, "decoder": None,
    "model": {"type": "BPE", "vocab": {"<bos>": 0, "a": 1, "b": 2, "ab": 3}, "merges": [["a", "b"]]},
}  # fmt: skip


def added(content: str, number: int, *, special: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": content, "special": special, **flags}


def with_model(**changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(BPE)
    made["model"] = {name: value for name, value in {**made["model"], **changes}.items() if value is not ...}
    return made


GOOD = {
    "pairs": BPE,
    "merges as text": with_model(merges=["#version: 0.2", "a b"]),
    "no type": with_model(type=...),
    "a gap": with_model(vocab={"a": 0, "b": 1, "ab": 70}),
    "words": {**BPE, "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}},
    "unigram": {**BPE, "model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0], ["b", -1.0]]}},
    "an own token": {**BPE, "added_tokens": [added("<bos>", 0, special=True)]},
    "a special token behind": {**BPE, "added_tokens": [added("<bos>", 0, special=True), added("<image>", 99, special=True)]},
    "a plain token behind": {**BPE, "added_tokens": [added("<a>", 50, special=True), added("word", 7, special=False)]},
    "the sample's": json.loads((MODEL / "tokenizer.json").read_bytes()),
}
WRONG: dict[str, Any] = {
    "no JSON": b"{",
    "no object": b"[1]",
    "not UTF-8": json.dumps(BPE).encode().replace(b'"ab"', b'"\xff"'),
    "no model": {"version": "1.0"},
    "an empty model": {**BPE, "model": {}},
    "no vocabulary": with_model(vocab=...),
    "an empty vocabulary": with_model(vocab={}, merges=[]),
    "no merges": with_model(merges=...),
    "a strange type": with_model(type="Magic"),
    "a strange part": {**BPE, "remote": 1},
    "another version": {**BPE, "version": "2.0"},
    "a merge of a strange token": with_model(merges=[["a", "c"]]),
    "a merge into a strange token": with_model(merges=[["b", "a"]]),
    "a merge of three": with_model(merges=["a b c"]),
    "a merge of one": with_model(merges=["ab"]),
    "merges of two kinds": with_model(merges=[["a", "b"], "a b"]),
    "a number below zero": with_model(vocab={"a": -1}, merges=[]),
    "a number that is none": with_model(vocab={"a": 1.5}, merges=[]),
    "added tokens that are none": {**BPE, "added_tokens": None},
    "an added token without flags": {**BPE, "added_tokens": [{"id": 9, "content": "x"}]},
    "an added token as text": {**BPE, "added_tokens": ["x"]},
    "a pointer": POINTER,
}


def data_of(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.parametrize("what", list(GOOD))
def test_a_good_tokenizer_is_read_as_tokenizers_reads_it(what: str) -> None:
    """The count of tokens and the number of each one are those of the library, whatever the file's own numbers say."""
    from tokenizers import Tokenizer

    data = data_of(GOOD[what])
    parsed = layout.check_tokenizer(data)
    text = Text(TokenizerFiles(data, {}, None))
    assert layout.vocabulary(parsed) == text.vocabulary
    theirs = Tokenizer.from_buffer(data).get_vocab(with_added_tokens=True)
    assert layout.token_ids(parsed, [*theirs, "not there"]) == theirs


@pytest.mark.parametrize("what", list(WRONG))
def test_what_is_refused_here_the_engine_refuses(what: str) -> None:
    """Both sides say tokenizer_invalid: inspect without the library, the engine with it, a panic of its own included."""
    data = data_of(WRONG[what])
    with pytest.raises(LoadFailed) as ours:
        layout.check_tokenizer(data)
    with pytest.raises(LoadFailed) as engines:
        Text(TokenizerFiles(data, {}, None), rows=100)
    assert ours.value.failure.code is engines.value.failure.code is Code.TOKENIZER_INVALID


def test_special_tokens_beyond_the_model_are_allowed_and_never_made() -> None:
    """Google's tokenizer knows an image token that Gemma 3 1B has no row for: it serves, and the token stays text."""
    data = data_of({**BPE, "added_tokens": [added("<bos>", 0, special=True), added("<image>", 4, special=True)]})
    layout.require_vocabulary(layout.vocabulary(layout.check_tokenizer(data)), 4)
    text = Text(TokenizerFiles(data, {}, None), rows=4)
    assert text.control == {"<bos>": 0}
    assert max(text.plain("ab<image>")) < 4


def test_a_word_beyond_the_model_is_refused() -> None:
    """A token that any text can become must have a row: without one the first prompt that holds it would break the engine."""
    data = data_of({**BPE, "added_tokens": [added("word", 4, special=False)]})
    for refuse in (
        lambda: layout.require_vocabulary(layout.vocabulary(layout.check_tokenizer(data)), 4),
        lambda: Text(TokenizerFiles(data, {}, None), rows=4),
    ):
        with pytest.raises(LoadFailed, match="5 tokens, the model knows 4") as failed:
            refuse()
        assert failed.value.failure.code is Code.TOKENIZER_INVALID
