"""Owns OpenAI's two forms of logprobs. Knows no HTTP and no model."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from typing import Any

from inference_image.engine.request import Token

Spell = Callable[[int], bytes]

LEAST = -9999.0
"""JSON has no infinity, which is what a token has that could not be chosen; OpenAI's own number for it."""


class ChatLogprobs:
    """`content`: one object for each token."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell

    def of(self, tokens: Iterable[Token]) -> dict[str, Any]:
        rows = [
            {**self._row(token.id, token.logprob), "top_logprobs": [self._row(*pair) for pair in token.top]} for token in tokens
        ]
        return {"content": rows, "refusal": None}

    def _row(self, token: int, logprob: float) -> dict[str, Any]:
        spelled = self._spell(token)
        return {"token": name(spelled), "bytes": list(spelled), "logprob": max(logprob, LEAST)}


class TextLogprobs:
    """Four lists side by side. It counts the characters of one answer, for `text_offset`: one for each answer."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._offset = 0
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    def of(self, tokens: Iterable[Token]) -> dict[str, Any]:
        made: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for token in tokens:
            spelled = self._spell(token.id)
            made["tokens"].append(name(spelled))
            made["token_logprobs"].append(max(token.logprob, LEAST))
            made["top_logprobs"].append({name(self._spell(one)): max(logprob, LEAST) for one, logprob in token.top})
            made["text_offset"].append(self._offset)
            self._offset += len(self._characters.decode(spelled))
        return made


def name(spelled: bytes) -> str:
    r"""A token as text; a part of a character as OpenAI writes it: `bytes:\xec`."""
    try:
        return spelled.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelled)
