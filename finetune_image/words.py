"""Owns a checkpoint's tokenizer and chat template as transformers has them, for data/encode.py. Knows no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetune_image.contract import Code, TuneFailed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TokenizerWords:
    """data.encode.Words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    @property
    def chats(self) -> bool:
        return bool(getattr(self._tokenizer, "chat_template", None))

    @property
    def begin(self) -> str:
        return str(self._tokenizer.bos_token or "")

    @property
    def end(self) -> str:
        return str(self._tokenizer.eos_token)

    def render(self, messages: Sequence[Mapping[str, str]], *, ask: bool = False) -> str:
        from jinja2 import TemplateError

        told = [dict(one) for one in messages]
        try:
            return str(self._tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=ask))
        except TemplateError as error:
            raise TuneFailed(Code.DATA_INVALID, "messages", f"the chat template refuses a conversation: {error}") from None

    def ids(self, text: str) -> list[int]:
        fast: Any = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is not None:  # a tenth of the time that transformers' own call takes
            return list(fast.encode(text, add_special_tokens=False).ids)
        made: Any = self._tokenizer(text, add_special_tokens=False)
        return list(made["input_ids"])

    def said(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
