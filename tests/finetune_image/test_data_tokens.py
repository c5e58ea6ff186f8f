"""How long rows are: by a tokenizer of letters, and by the sample's own; a template without a place for a system text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from finetune_image.contract import Code, TuneFailed
from finetune_image.data import checkpoint_words
from finetune_image.data.checkpoint_words import CheckpointWords
from finetune_image.data.encode import Encoder
from finetune_image.data.tokens import SAMPLE, measure
from inference_image.families import GEMMA3
from tests.inference_image.checkpoints import MODEL


class Letters:
    """A letter is a token."""

    def many(self, texts: list[str]) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]

    def said(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


LETTERS = CheckpointWords({"bos_token": "^", "eos_token": "$"}, None, Letters())
SYSTEM = [{"role": "system", "content": "S"}, {"role": "user", "content": " a"}, {"role": "assistant", "content": "b"}]


def test_lengths_are_those_of_what_is_read() -> None:
    """A row that loses its end is read to max_length; one that loses its whole answer is not read."""
    rows = [{"prompt": "a" * ask, "completion": "b" * say} for ask, say in ((1, 2), (3, 20), (30, 2), (7, 1))]
    seen = measure(rows, LETTERS, GEMMA3, 10)
    assert (seen.rows, seen.measured, seen.sampled, seen.exact) == (4, 4, False, True)
    assert (seen.middle, seen.most, seen.longest) == (10, 34, 34)
    assert (seen.cut, seen.lost) == (2, 1)
    assert (seen.tokens, seen.learned, seen.sequences) == (5 + 10 + 10, 3 + 6 + 2, 3)


def test_a_sample_stands_for_all() -> None:
    """Seeded, in proportion; with --full every row."""
    rows = [{"text": "a" * 10}] * (SAMPLE * 2)
    seen, full = measure(rows, LETTERS, GEMMA3, 6), measure(rows, LETTERS, GEMMA3, 6, full=True)
    assert (seen.measured, full.measured) == (SAMPLE, 2 * SAMPLE)
    assert (seen.tokens, seen.learned, seen.cut) == (full.tokens, full.learned, full.cut) == (24_000, 20_000, 4000)


def of(name: str) -> bytes:
    return (MODEL / name).read_bytes()


def test_the_samples_own_words() -> None:
    """Template, texts of bos and eos, and tokens without any that are added."""
    tokens = checkpoint_words.tokenizer(of("tokenizer.json"))
    words = checkpoint_words.words(of("tokenizer_config.json"), of("chat_template.jinja"), tokens)
    assert (words.chats, words.begin, words.end) == (True, "<bos>", "<eos>")
    assert Encoder(words, GEMMA3).answer({"messages": SYSTEM}) == "b"
    assert [len(words.ids(text)) for text in ("<bos>", "<end_of_turn>", "")] == [1, 1, 0]
    parts = Encoder(words, GEMMA3).parts({"messages": SYSTEM})
    assert parts[0] == ("<bos><start_of_turn>user\nS\n\na<end_of_turn>\n<start_of_turn>model\n", False)
    assert parts[1:] == [("b<end_of_turn>", True), ("\n", False)]


def test_a_system_text_without_a_place_opens_the_first_question() -> None:
    """As Gemma 3's own template puts it, under one that refuses it as Gemma 2's does."""
    refusing = of("chat_template.jinja").decode()
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + refusing
    old = checkpoint_words.words(of("tokenizer_config.json"), refusing.encode(), None)
    new = checkpoint_words.words(of("tokenizer_config.json"), of("chat_template.jinja"), None)
    for row in ({"messages": SYSTEM}, {"prompt": SYSTEM[:2], "completion": SYSTEM[2:]}):
        assert Encoder(old, GEMMA3).parts(row) == Encoder(new, GEMMA3).parts(row)


@pytest.mark.parametrize(
    ("config", "template"), [(b"{", b""), (b"{}", b"{% for"), (b"{}", b"{{ raise_exception('no') }}"), (b"{}", b"{{ 1 // 0 }}")]
)
def test_what_can_not_be_read_is_the_models_fault(config: bytes, template: bytes) -> None:
    """Never the data's."""
    with pytest.raises(TuneFailed) as caught:
        checkpoint_words.words(config, template, None)
    assert caught.value.failure.code is Code.MODEL_INVALID
    with pytest.raises(TuneFailed) as broken:
        checkpoint_words.tokenizer(config)
    assert broken.value.failure.code is Code.MODEL_INVALID


@pytest.mark.long
def test_the_check_sees_what_the_worker_sees() -> None:
    """The same pieces and the same tokens as through transformers, for every form of a row."""
    from transformers import AutoTokenizer

    from finetune_image.words import TokenizerWords

    worker = TokenizerWords(AutoTokenizer.from_pretrained(MODEL))
    tokens = checkpoint_words.tokenizer(of("tokenizer.json"))
    here = checkpoint_words.words(of("tokenizer_config.json"), of("chat_template.jinja"), tokens)
    talk = [*SYSTEM, {"role": "user", "content": "한국어 c\n"}, {"role": "assistant", "content": " d "}]
    rows: list[dict[str, Any]] = [
        {"messages": talk},
        {"prompt": " a", "completion": "b\n"},
        {"prompt": talk[:4], "completion": talk[4:]},
        {"text": "x <b>"},
    ]
    for row in rows:
        assert Encoder(here, GEMMA3).parts(row) == Encoder(worker, GEMMA3).parts(row)
        assert Encoder(here, GEMMA3).encode(row) == Encoder(worker, GEMMA3).encode(row)
