"""Owns the types of /generate: the form each one gives a prompt, and where it stops. Knows no tokenizer and no HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

PROMPT: Final = "{prompt}"


@dataclass(frozen=True)
class Part:
    """A stretch of a prompt. Only in a trusted part may a turn mark or its kin become a control token."""

    text: str
    trusted: bool


@dataclass(frozen=True)
class Picture:
    """Where an image stands in a message. What it shows goes beside the tokens, in the same order."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `role` is user, assistant or system.

    `listed`: each part came as an item of a list, and a chat template that knows lists gets it so.
    """

    role: str
    parts: tuple[Part | Picture, ...]
    listed: bool = False


@dataclass(frozen=True)
class Raw:
    """A prompt that goes to the model as it is, after the one token that begins a text."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chat:
    """A prompt that goes through the checkpoint's own chat template."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Preset:
    """A row of the table below. `template` holds PROMPT once; `max_tokens` counts when the request names none."""

    type: str
    mode: Literal["raw", "chat"]
    template: str
    stops: tuple[str, ...]
    max_tokens: int


class UnknownTypeError(ValueError):
    """A request for a type that no preset has."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"unknown type; known types: {', '.join(self.known)}")


# Without these stops a fine-tune that never learnt EOS starts the next example: the seed's tenfold translation.
_ALPACA_STOPS: Final = ("### Response:", "### Instruction:", "### Input:")

PRESETS: Final[dict[str, Preset]] = {
    preset.type: preset
    for preset in (
        Preset(
            type="translation",
            mode="raw",
            template=(
                "### Instruction:\nTranslate the following text from English to Korean.\n\n"
                f"### Input:\n{PROMPT}\n\n### Response:\n"
            ),
            stops=_ALPACA_STOPS,
            max_tokens=1024,
        ),
        Preset(type="text", mode="chat", template=PROMPT, stops=(), max_tokens=1024),
        Preset(
            type="product",
            mode="chat",
            template=f"Write a product description for: {PROMPT}",
            stops=(),
            max_tokens=512,
        ),
        Preset(
            type="sql",
            mode="raw",
            # No space after the colon: the answer's own first token carries it, as in the codelab's training text.
            template=f"{PROMPT}\nAnswer:",
            stops=("\nQuestion:", "\nContext:", "\nAnswer:"),
            max_tokens=256,
        ),
    )
}

_QUESTION_CONTEXT: Final = re.compile(r"\s*Question:\s*(?P<question>.*?)\s+Context:\s*(?P<context>.*?)\s*", re.DOTALL)


def choose(type_name: str | None, prompt: str) -> Preset:
    """The preset of a request. Without a type, the codelab's `Question: ... Context: ...` is sql and all else is text.

    Raises UnknownTypeError.
    """
    if type_name is None:
        return PRESETS["sql" if _QUESTION_CONTEXT.fullmatch(prompt) else "text"]
    try:
        return PRESETS[type_name]
    except KeyError:
        raise UnknownTypeError(tuple(PRESETS)) from None


def _user(text: str) -> Part:
    return Part(text, trusted=False)


def _fill(template: str, parts: Sequence[Part]) -> tuple[Part, ...]:
    """Plain substitution: nothing in the user's text is ever read as a format or a template."""
    before, _, after = template.partition(PROMPT)
    every = (Part(before, trusted=True), *parts, Part(after, trusted=True))
    return tuple(part for part in every if part.text)


def _question_and_context(prompt: str) -> tuple[Part, ...]:
    """The codelab trains on three lines and asks on one: put the question in the form that was trained."""
    found = _QUESTION_CONTEXT.fullmatch(prompt)
    if found is None:
        return (_user(prompt),)
    return (
        Part("Question: ", trusted=True),
        _user(found["question"]),
        Part("\nContext: ", trusted=True),
        _user(found["context"]),
    )


def put(preset: Preset, prompt: str) -> Raw | Chat:
    """The user's prompt in the form of its preset."""
    parts = _question_and_context(prompt) if preset.type == "sql" else (_user(prompt),)
    filled = _fill(preset.template, parts)
    if preset.mode == "raw":
        return Raw(filled)
    return Chat((Message("user", filled),))
