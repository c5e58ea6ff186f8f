"""Owns what the model sees of a row and which of its tokens it learns. Knows no library: `Words` has tokenizer and chat template.

An answer is learned with the mark that ends it, or the model would never stop; a question never is. Each part is made into tokens
by itself, so that the tokens before an answer are those that a server sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

from finetune_image.contract import Code, TuneFailed
from inference_image.families import Family

Row = Mapping[str, Any]
"""As forms.py has it: `{"messages": [{"role", "content"}]}`, `{"prompt", "completion"}` of texts or messages, `{"text"}`."""
IGNORED: Final = -100
"""The label of a token that is not learned: torch's own."""


@dataclass(frozen=True)
class Encoded:
    """Tokens of a row; `labels`: the same, or IGNORED."""

    ids: list[int]
    labels: list[int]

    def cut(self, length: int, *, late: bool = False) -> Encoded:
        """At most `length` tokens: the first, or the last if `late`."""
        part = slice(-length, None) if late else slice(None, length)
        return Encoded(self.ids[part], self.labels[part])

    @property
    def learned(self) -> int:
        return sum(label != IGNORED for label in self.labels)


class Words(Protocol):
    """A checkpoint's tokenizer and chat template."""

    @property
    def chats(self) -> bool:
        """Is there a chat template? A base model has none."""

    @property
    def begin(self) -> str:
        """The text that begins every plain prompt."""

    @property
    def end(self) -> str:
        """The text that ends a plain answer."""

    def render(self, messages: Sequence[Mapping[str, str]], *, ask: bool = False) -> str:
        """The chat template's text. `ask`: with the mark that opens an answer. Raises TuneFailed(data_invalid): it refuses."""

    def ids(self, text: str) -> list[int]:
        """Tokens of a text, with those that steer the model where it names them, and none added."""

    def said(self, ids: Sequence[int]) -> str:
        """Tokens as a text, without those that steer the model."""


class Encoder:
    """Rows to tokens for one model. `answers_only`: False learns every token of a row."""

    def __init__(self, words: Words, family: Family, *, answers_only: bool = True) -> None:
        self._words, self._family, self._answers_only = words, family, answers_only

    def encode(self, row: Row) -> Encoded:
        """Raises TuneFailed(data_invalid): a conversation for a model without a chat template, or one that it refuses."""
        ids: list[int] = []
        labels: list[int] = []
        for text, learned in self.parts(row):
            made = self._words.ids(text)
            ids += made
            labels += made if learned or not self._answers_only else [IGNORED] * len(made)
        return Encoded(ids, labels)

    def prompt(self, row: Row) -> list[int]:
        """The tokens in front of the last answer, as a server sends them; of a `text` row: its first half."""
        parts = self.parts(row)
        if "text" in row:
            ids = self._words.ids("".join(text for text, _ in parts))
            return ids[: max(1, len(ids) // 2)]
        last = max(n for n, (_, learned) in enumerate(parts) if learned)
        return self._words.ids("".join(text for text, _ in parts[:last]))

    def asked(self, row: Row) -> str:
        """The same as a text, for people: without the marks of turns."""
        if isinstance(row.get("prompt"), str):
            return str(row["prompt"])
        messages = row.get("messages", [])[:-1] or row.get("prompt", [])
        return "\n".join(one["content"] for one in messages) or self._words.said(self.prompt(row))

    def answer(self, row: Row) -> str:
        """What should follow it, without the mark that ends it."""
        parts = self.parts(row)
        if "text" in row:
            return self._words.said(self._words.ids("".join(text for text, _ in parts))[len(self.prompt(row)) :])
        return self._words.said(self._words.ids([text for text, learned in parts if learned][-1]))

    def parts(self, row: Row) -> list[tuple[str, bool]]:
        """The row as the model sees it, in pieces of text, and whether each is learned. Raises as encode."""
        begin = self._words.begin
        if "text" in row:
            return [(begin, False), (row["text"].removesuffix(self._words.end) + self._words.end, True)]
        if "messages" in row:
            return self._talk(row["messages"])
        if isinstance(row["prompt"], list):
            return self._talk([*row["prompt"], *row["completion"]], len(row["prompt"]))
        if self._words.chats:
            asked = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
            return self._talk(asked)
        return [(begin + row["prompt"], False), (row["completion"].removesuffix(self._words.end) + self._words.end, True)]

    def _talk(self, messages: Sequence[Mapping[str, str]], first: int = 0) -> list[tuple[str, bool]]:
        """Answers among `messages[first:]` are learned."""
        if not self._words.chats:
            advice = ("train the -it model of this family", "or give prompt and completion: a base model learns plain text")
            raise TuneFailed(Code.DATA_INVALID, "messages", "the model has no chat template: it is a base model", *advice)
        if messages[0]["role"] == "system" and not self._takes_system:
            messages, first = _folded(messages), max(0, first - 1)
        whole = self._words.render(messages)
        parts: list[tuple[str, bool]] = []
        at = 0
        for number, message in enumerate(messages):
            if message["role"] != "assistant" or number < first:
                continue
            head = self._words.render(messages[:number], ask=True)
            until = whole if number + 1 == len(messages) else self._words.render(messages[: number + 1])
            if not (whole.startswith(until) and until.startswith(head) and len(head) >= at):
                return self._by_marks(whole, last=first > 0)
            end = self._end(until, len(head))
            parts += [(whole[at : len(head)], False), (whole[len(head) : end], True)]
            at = end
        return [*parts, (whole[at:], False)] if whole[at:] else parts

    @cached_property
    def _takes_system(self) -> bool:
        """Has the template a place for a system message? Those of Gemma 1 and 2 refuse one."""
        word = "the system's text"
        try:
            return word in self._words.render([{"role": "system", "content": word}, {"role": "user", "content": "?"}], ask=True)
        except TuneFailed:
            return False

    def _by_marks(self, whole: str, *, last: bool) -> list[tuple[str, bool]]:
        """For a template that prints the same words differently when more follow: found by the family's turn marks.

        `last`: only the last answer is learned.
        """
        turns = self._family.turns
        parts: list[tuple[str, bool]] = []
        at = 0
        if turns is not None:
            opening = f"{turns.start}{turns.model}\n"
            while (start := whole.find(opening, at)) >= 0:
                start += len(opening)
                end = self._end(whole, start)
                parts += [(whole[at:start], False), (whole[start:end], True)]
                at = end
        if not parts:
            raise self._odd("where its answers begin can't be told")
        if last:
            parts = [(text, learned and n == len(parts) - 1) for n, (text, learned) in enumerate(parts)]
        return [*parts, (whole[at:], False)] if whole[at:] else parts

    def _end(self, text: str, start: int) -> int:
        """Where an answer that begins at `start` ends: after the first mark that ends it."""
        ends = [
            text.find(stop, start) + len(stop) for stop in (*self._family.stops, self._words.end) if text.find(stop, start) >= 0
        ]
        if not ends:
            raise self._odd("no mark ends its answers: a model trained so would never stop")
        return min(ends)

    def _odd(self, detail: str) -> TuneFailed:
        return TuneFailed(Code.MODEL_INVALID, "chat_template.jinja", detail, "use the chat template of the original model")


def _folded(messages: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
    """The system's text at the head of the first question, where Gemma 3's own template puts it."""
    system, user, *rest = messages
    return [{"role": user["role"], "content": f"{system['content']}\n\n{user['content'].strip()}"}, *rest]
