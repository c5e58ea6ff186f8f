"""Owns the types of /generate: the form each one gives a prompt, and where it stops. Knows no tokenizer and no HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

PROMPT: Final = "{prompt}"
DEFAULT_TOKENS: Final = 1024


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
    """One type: `template` holds PROMPT once; `max_tokens` and `sampling` count when the request says nothing of them.

    `system` is the first message of a chat. `question`: the codelab's one-line question goes in the form that was trained.
    """

    type: str
    mode: Literal["raw", "chat"]
    template: str
    stops: tuple[str, ...] = ()
    max_tokens: int = DEFAULT_TOKENS
    system: str = ""
    sampling: tuple[tuple[str, float], ...] = ()
    question: bool = False
    origin: str = "built-in"
    """The file or variable that it comes from."""

    def chances(self) -> dict[str, Any]:
        """`sampling` with a temperature where another word of it asks for chance; empty: greedy."""
        said = dict(self.sampling)
        return {"temperature": 1.0, **said} if said.keys() & {"top_p", "top_k", "min_p"} else said


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
        ),
        Preset(type="text", mode="chat", template=PROMPT),
        Preset(
            type="product",
            mode="chat",
            template=f"Write a product description for: {PROMPT}",
            max_tokens=512,
        ),
        Preset(
            type="sql",
            mode="raw",
            # No space after the colon: the answer's own first token carries it, as in the codelab's training text.
            template=f"{PROMPT}\nAnswer:",
            stops=("\nQuestion:", "\nContext:", "\nAnswer:"),
            max_tokens=256,
            question=True,
        ),
    )
}

_QUESTION_CONTEXT: Final = re.compile(r"\s*Question:\s*(?P<question>.*?)\s+Context:\s*(?P<context>.*?)\s*", re.DOTALL)


_QUESTION_TYPE: Final = "sql"
TEXT_TYPE: Final = "text"


@dataclass(frozen=True)
class Presets:
    """The types that a service answers. Without a `default` the codelab's question is sql and all else is text."""

    rows: Mapping[str, Preset]
    default: str = ""

    def choose(self, type_name: str | None, prompt: str) -> Preset:
        """The preset of a request. Raises UnknownTypeError."""
        name = self._unsaid(prompt) if type_name is None else type_name
        try:
            return self.rows[name]
        except KeyError:
            raise UnknownTypeError(tuple(self.rows)) from None

    def _unsaid(self, prompt: str) -> str:
        if self.default:
            return self.default
        return _QUESTION_TYPE if _QUESTION_TYPE in self.rows and _QUESTION_CONTEXT.fullmatch(prompt) else TEXT_TYPE

    def named(self) -> dict[str, str]:
        """Each type with the place that it comes from, without its content: what a log may hold."""
        return {name: one.origin for name, one in self.rows.items()}


BUILT_IN: Final = Presets(PRESETS)


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
    parts = _question_and_context(prompt) if preset.question else (_user(prompt),)
    filled = _fill(preset.template, parts)
    if preset.mode == "raw":
        return Raw(filled)
    system = (Message("system", (Part(preset.system, trusted=True),)),) if preset.system else ()
    return Chat((*system, Message("user", filled)))
