"""What the model sees of a row and which tokens it learns, over templates of every kind; no tokenizer, a letter is a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, TemplateError

from finetune_image.contract import Code, TuneFailed
from finetune_image.data.encode import IGNORED, Encoder
from inference_image.families import GEMMA3
from tests.inference_image.checkpoints import MODEL

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1."},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "2."},
]
PAIR = {"prompt": "One?", "completion": "1."}
# as some fine-tunes have it: the last answer is printed in another way than those before
_TURN = "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n"
_BEGIN = "{{ bos_token }}{% for m in messages %}{% if loop.last and m.role == 'assistant' %}[last]{% endif %}"
SHIFTING = _BEGIN + _TURN + "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
_ASK = "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<eos>\n" + _ASK
ENDLESS = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
UNMARKED = "{% for m in messages %}[{{ loop.length }}]{{ m.content }}<eos>{% endfor %}"


class Letters:
    """Words over one template."""

    begin, end = "<bos>", "<eos>"

    def __init__(self, template: str | None) -> None:
        def refuse(text: str) -> None:
            raise TemplateError(text)

        self.chats = template is not None
        environment = Environment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = refuse
        self._template = environment.from_string(template or "")

    def render(self, messages: Sequence[Mapping[str, str]], *, ask: bool = False) -> str:
        return self._template.render(messages=messages, add_generation_prompt=ask, bos_token=self.begin)

    def ids(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def said(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids)).replace("<end_of_turn>", "").replace("<eos>", "").replace("<bos>", "")


def seen(template: str | None, row: dict[str, Any], **how: Any) -> tuple[str, list[str]]:
    """(all the model sees, what it learns, in stretches)."""
    made = Encoder(Letters(template), GEMMA3, **how).encode(row)
    assert all(label in (IGNORED, one) for one, label in zip(made.ids, made.labels, strict=True))
    marked = "".join(chr(label) if label != IGNORED else "\0" for label in made.labels)
    return "".join(map(chr, made.ids)), [part for part in marked.split("\0") if part]


SAMPLE = Path(MODEL / "chat_template.jinja").read_text()


@pytest.mark.parametrize(
    ("template", "row", "learned"),
    [
        (SAMPLE, {"messages": TALK}, ["1.<end_of_turn>", "2.<end_of_turn>"]),
        (SAMPLE, PAIR, ["1.<end_of_turn>"]),
        (SAMPLE, {"prompt": TALK[:4], "completion": TALK[4:]}, ["2.<end_of_turn>"]),
        (SAMPLE, {"text": "1. Yes"}, ["1. Yes<eos>"]),
        (None, PAIR, ["1.<eos>"]),
        (None, {"text": "1. Yes<eos>"}, ["1. Yes<eos>"]),
        (SHIFTING, {"messages": TALK}, ["1.<end_of_turn>", "2.<end_of_turn>"]),
        (SHIFTING, {"prompt": TALK[:4], "completion": TALK[4:]}, ["2.<end_of_turn>"]),
        (CHATML, {"messages": TALK}, ["1.<eos>", "2.<eos>"]),
    ],
)
def test_an_answer_is_learned_with_its_end_alone(template: str | None, row: dict[str, Any], learned: list[str]) -> None:
    """For every form of a row, under Gemma's template, a customised one without markers, and none."""
    assert seen(template, row)[1] == learned


def test_a_system_text_and_the_turns_are_seen_as_they_are_served() -> None:
    """The whole is what the template prints of the conversation."""
    whole, _ = seen(SAMPLE, {"messages": TALK})
    assert whole == Letters(SAMPLE).render(TALK)
    assert whole.startswith("<bos><start_of_turn>user\nBe brief.\n\nOne?<end_of_turn>\n<start_of_turn>model\n1.")


def test_the_prompt_is_what_stands_before_the_last_answer() -> None:
    """As a server gets it, and the answer without its mark."""
    words = Letters(SAMPLE)
    encoder = Encoder(words, GEMMA3)
    row = {"messages": TALK}
    assert encoder.prompt(row) == words.ids(words.render(TALK[:4], ask=True))
    assert (encoder.answer(row), encoder.asked(row)) == ("2.", "Be brief.\nOne?\n1.\nTwo?")
    assert (encoder.answer(PAIR), encoder.asked(PAIR)) == ("1.", "One?")
    text = {"text": "one two three"}
    assert encoder.asked(text) + encoder.answer(text) == "one two three"


def test_everything_is_learned_where_the_user_says_so() -> None:
    """assistant_only_loss: false."""
    whole, learned = seen(SAMPLE, PAIR, answers_only=False)
    assert learned == [whole]


@pytest.mark.parametrize(
    ("template", "row", "code", "words"),
    [
        (None, {"messages": TALK}, Code.DATA_INVALID, "no chat template"),
        (ENDLESS, PAIR, Code.MODEL_INVALID, "no mark ends its answers"),
        (UNMARKED, {"messages": TALK}, Code.MODEL_INVALID, "where its answers begin"),
    ],
)
def test_what_would_be_learned_wrong_is_refused(template: str | None, row: dict[str, Any], code: Code, words: str) -> None:
    """Rather than a model that never stops, or learns its questions."""
    with pytest.raises(TuneFailed) as caught:
        seen(template, row)
    assert caught.value.failure.code is code
    assert words in str(caught.value)
