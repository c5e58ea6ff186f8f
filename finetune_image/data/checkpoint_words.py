"""Owns a checkpoint's chat template and tokenizer without transformers, for encode.py: as inspect and the server read them.

The library tokenizers is imported when a tokenizer is opened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from finetune_image.contract import Code, TuneFailed
from inference_image import chat
from inference_image.contract import LoadFailed

if TYPE_CHECKING:
    from inference_image.template import ChatTemplate


class Tokens(Protocol):
    """A tokenizer."""

    def many(self, texts: list[str]) -> list[list[int]]:
        """Tokens of each text, none added."""

    def said(self, ids: Sequence[int]) -> str:
        """Tokens as a text, without those that steer the model."""


BYTES_PER_TOKEN: Final = 3.5
"""Of a large vocabulary over English text and SQL. A guess, for where no tokenizer can be had."""
_END: Final = "<eos>"


@dataclass(frozen=True)
class CheckpointWords:
    """encode.Words. `tokens` is None where no tokenizer can be had: then lengths are estimated, and tokens are only counted."""

    special: Mapping[str, str]
    template: ChatTemplate | None
    tokens: Tokens | None

    @property
    def chats(self) -> bool:
        return self.template is not None

    @property
    def begin(self) -> str:
        return self.special.get("bos_token", "")

    @property
    def end(self) -> str:
        return self.special.get("eos_token", _END)

    def render(self, messages: Sequence[Mapping[str, str]], *, ask: bool = False) -> str:
        if self.template is None:
            raise TuneFailed(Code.DATA_INVALID, "messages", "the model has no chat template")
        try:
            return self.template.text(messages, self.special, ask=ask)
        except Exception as error:  # noqa: BLE001 - a template may raise anything, its own raise_exception included
            said = str(error) or type(error).__name__
            raise TuneFailed(Code.DATA_INVALID, "messages", f"the chat template refuses a conversation: {said}"[:300]) from None

    def ids(self, text: str) -> list[int]:
        return self.many([text])[0]

    def many(self, texts: list[str]) -> list[list[int]]:
        """Tokens of each text; without a tokenizer as many zeros as it may have."""
        if self.tokens is not None:
            return self.tokens.many(texts)
        return [[0] * math.ceil(len(text.encode()) / BYTES_PER_TOKEN) for text in texts]

    def said(self, ids: Sequence[int]) -> str:
        return self.tokens.said(ids) if self.tokens is not None else ""


def words(config: bytes, template: bytes, tokens: Tokens | None) -> CheckpointWords:
    """From tokenizer_config.json and chat_template.jinja; empty bytes for what is not there.

    Raises:
        TuneFailed: (model_invalid) what can't be read, or can't print a question.
    """
    try:
        found = json.loads(config or b"{}")
        told: Mapping[str, Any] = found if isinstance(found, dict) else {}
        source = chat.template_text(template) if template else chat.embedded_template(told)
        made = chat.checked_template(source, told) if source else None
    except LoadFailed as failed:
        raise TuneFailed(Code.MODEL_INVALID, failed.failure.object, failed.failure.detail) from None
    except (ValueError, RecursionError) as error:
        raise TuneFailed(Code.MODEL_INVALID, "tokenizer_config.json", f"not JSON: {error}"[:200]) from None
    return CheckpointWords(chat.special_texts(told), made, tokens)


def gemma(tokens: Tokens | None = None, *, chats: bool = True) -> CheckpointWords:
    """Gemma's own turns, for where the checkpoint can't be looked at."""
    template = chat.compile_template(chat.BUILT_IN["gemma3"]) if chats else None
    return CheckpointWords(chat.special_texts({}), template, tokens)


def tokenizer(data: bytes) -> Tokens | None:
    """The checkpoint's own, from tokenizer.json; None without the library tokenizers.

    Raises:
        TuneFailed: (model_invalid) it is none.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    try:
        made: Any = Tokenizer.from_buffer(data)
    except Exception as error:  # noqa: BLE001 - the library raises Exception itself
        raise TuneFailed(Code.MODEL_INVALID, "tokenizer.json", str(error)[:200]) from None
    made.no_truncation()
    made.no_padding()
    return _Tokenizer(made)


@dataclass(frozen=True)
class _Tokenizer:
    library: Any

    def many(self, texts: list[str]) -> list[list[int]]:
        return [one.ids for one in self.library.encode_batch_fast(texts, add_special_tokens=False)]

    def said(self, ids: Sequence[int]) -> str:
        return str(self.library.decode(list(ids), skip_special_tokens=True))
