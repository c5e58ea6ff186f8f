"""One table of families: no other file of the packages names a stop token, a turn mark or a model class."""

from __future__ import annotations

import re

import pytest

from inference_image.families import FAMILIES
from tests.house import tree

TABLE = "inference_image/families.py"
DATA = "gemmactl/sandbox/sample/"
"""A model is data: its own files name its own tokens."""
TOKENS = {
    token
    for row in FAMILIES
    for token in (*row.stops, *row.control, *((row.turns.start, row.turns.end) if row.turns is not None else ()))
}
CLASSES = re.compile(r"\bGemma\w*(?:For\w+|TextModel|TextConfig)\b")


def named(source: str) -> list[str]:
    """Tokens and classes of the table that a text names."""
    return sorted({token for token in TOKENS if token in source} | set(CLASSES.findall(source)))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('STOP = "<end_of_turn>"', "<end_of_turn>"),
        ("# up to <eos>", "<eos>"),
        ('"<|turn>"', "<|turn>"),
        ("from transformers import Gemma3ForCausalLM", "Gemma3ForCausalLM"),
        ("x: Gemma3nTextModel", "Gemma3nTextModel"),
        ("GemmaForSequenceClassification(config)", "GemmaForSequenceClassification"),
        ("Gemma3TextConfig.from_dict({})", "Gemma3TextConfig"),
    ],
)
def test_the_rule_can_fail(source: str, found: str) -> None:
    """A stop token, a turn mark or a class in a source is found, in code and in comments."""
    assert named(source) == [found]
    assert not named("a turn mark, a stop token, Gemma 3's text class, model_type gemma3_text")


def test_the_table_is_the_only_place() -> None:
    """What a family's answers end with and what its classes are called stands in one file; the others ask a row."""
    found = {
        tree.relative(path): names
        for path in tree.files()
        if tree.relative(path).startswith(("gemmactl/", "inference_image/"))
        and not tree.relative(path).startswith((TABLE, DATA))
        and (source := tree.text(path)) is not None
        and (names := named(source))
    }
    assert found == {}
    assert named((tree.ROOT / TABLE).read_text(encoding="utf-8")), "the table moved, and nothing was looked at"
