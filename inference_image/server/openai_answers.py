"""Owns the forms of OpenAI's answers, whole and as events. Knows no HTTP and no engine.

An event is made for every few tokens of every stream: all of it but the text is written once, and no model checks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import inference_image
from inference_image.engine.request import Piece, Token
from inference_image.server.answered import completed, usage
from inference_image.server.openai_logprobs import ChatLogprobs, Spell, TextLogprobs
from inference_image.server.openai_wishes import Wish
from inference_image.server.sse import event, quoted

FINISH: Final[Mapping[str | None, str]] = {"stop": "stop", "length": "length", "cancelled": "length"}
"""OpenAI's reasons. Cancelled is told beside it, as an error: the service stopped before the answer was complete."""

FINGERPRINT: Final = f"gemmactl-{inference_image.__version__}"


@dataclass(frozen=True)
class Form:
    """What differs between chats and completions."""

    type: str
    """The word of the log line."""
    prefix: str
    object: str
    part: str
    """`object` of an event."""
    chat: bool


CHAT: Final = Form("chat", "chatcmpl-", "chat.completion", "chat.completion.chunk", chat=True)
COMPLETION: Final = Form("completion", "cmpl-", "text_completion", "text_completion", chat=False)


def _head(form: Form, part: str, model: str, created: int) -> dict[str, Any]:
    made = {"id": form.prefix + uuid4().hex, "object": part, "created": created, "model": model}
    return {**made, "system_fingerprint": FINGERPRINT}


def whole(form: Form, wish: Wish, answers: Sequence[Sequence[Piece]], spell: Spell, created: int) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    choices = []
    for index, (request, pieces) in enumerate(zip(wish.requests, answers, strict=True)):
        text = "".join(piece.text for piece in pieces)
        said = {"message": {"role": "assistant", "content": text, "refusal": None}} if form.chat else {"text": text}
        tokens = [token for piece in pieces for token in piece.tokens]
        logprobs = _logprobs(form, spell).of(tokens) if request.logprobs is not None else None
        choices.append({"index": index, **said, "logprobs": logprobs, "finish_reason": FINISH[pieces[-1].stop_reason]})
    return {
        **_head(form, form.object, wish.model, created),
        "choices": choices,
        "usage": usage(wish.prompt_tokens, completed([pieces[-1] for pieces in answers])),
    }


def _logprobs(form: Form, spell: Spell) -> ChatLogprobs | TextLogprobs:
    return ChatLogprobs(spell) if form.chat else TextLogprobs(spell)


class Events:
    """The events of one stream: sse.Events."""

    def __init__(self, form: Form, wish: Wish, spell: Spell, created: int) -> None:
        self._form, self._wish = form, wish
        self._head = json.dumps(_head(form, form.part, wish.model, created))[:-1]
        self._tail = ', "usage": null' if wish.usage else ""
        self._ends: list[Piece] = []
        wanted = [index for index, request in enumerate(wish.requests) if request.logprobs is not None]
        self._logprobs = {index: _logprobs(form, spell) for index in wanted}
        before = '"delta": {"content": ' if form.chat else '"text": '
        after = "}" if form.chat else ""
        self._before = [f'data: {self._head}, "choices": [{{"index": {i}, {before}' for i in range(len(wish.requests))]
        self._after = f'{after}, "logprobs": null, "finish_reason": null}}]{self._tail}}}\n\n'

    def opening(self) -> bytes:
        """Who speaks, of each choice of a chat."""
        if not self._form.chat:
            return b""
        role = '"delta": {"role": "assistant", "content": "", "refusal": null}'
        return b"".join(self._choice(index, role, None, None) for index in range(len(self._wish.requests)))

    def of(self, index: int, pieces: Sequence[Piece]) -> bytes:
        """What came of one choice, as one event; its end is another."""
        text = pieces[0].text if len(pieces) == 1 else "".join([piece.text for piece in pieces])
        last = pieces[-1]
        made = b""
        if index in self._logprobs:
            tokens = [token for piece in pieces for token in piece.tokens]
            if text or tokens:
                made = self._with_logprobs(index, text, tokens)
        elif text:
            made = (self._before[index] + quoted(text) + self._after).encode()
        if last.stop_reason is None:
            return made
        self._ends.append(last)
        return made + self._choice(index, '"delta": {}' if self._form.chat else '"text": ""', None, FINISH[last.stop_reason])

    def closing(self) -> bytes:
        """The tokens of all choices, where they were asked for."""
        if not self._wish.usage:
            return b""
        counts = json.dumps(usage(self._wish.prompt_tokens, completed(self._ends)))
        return event(f'{self._head}, "choices": [], "usage": {counts}}}')

    def _with_logprobs(self, index: int, text: str, tokens: Sequence[Token]) -> bytes:
        said = f'"delta": {{"content": {quoted(text)}}}' if self._form.chat else f'"text": {quoted(text)}'
        return self._choice(index, said, self._logprobs[index].of(tokens), None)

    def _choice(self, index: int, said: str, logprobs: dict[str, Any] | None, reason: str | None) -> bytes:
        end = f'"logprobs": {json.dumps(logprobs)}, "finish_reason": {json.dumps(reason)}'
        return event(f'{self._head}, "choices": [{{"index": {index}, {said}, {end}}}]{self._tail}}}')
