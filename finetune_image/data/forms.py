"""Owns the forms that a row may come in, and the three it leaves in: messages, prompt and completion, text. Knows no files.

A row that leaves is `{"messages": [{"role", "content"}...]}`, `{"prompt", "completion"}` (both texts, or both lists of
messages) or `{"text"}`. Roles are system, user and assistant.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.data import template
from finetune_image.data.problem import Bad
from finetune_image.run import Data

Row = dict[str, Any]
Made = tuple[Row, Hashable, Any]
"""A row, what is asked in it, and what is answered. Of text: itself and nothing."""
Maker = Callable[[Mapping[str, Any]], Made]

CODELAB: Final = "Question: {question}\nContext: {context}\nAnswer: {answer}"
"""The codelab's own text: with `prompt` alone, all of it is trained."""
QUESTION: Final = {
    True: ("Question: {question}\nContext: {context}\nAnswer:", " {answer}"),
    False: ("Question: {question}\nAnswer:", " {answer}"),
}
"""The same letters as prompt and completion, so that the answer alone is trained. By whether there is a column context."""

_ROLES: Final = {
    "user": "user", "assistant": "assistant", "system": "system", "model": "assistant", "human": "user", "gpt": "assistant",
    "developer": "system", "chatgpt": "assistant", "bot": "assistant",
}  # fmt: skip
_ASKS: Final = ("question", "query", "prompt", "instruction", "input", "problem", "source", "utterance", "user")
_ANSWERS: Final = ("answer", "response", "completion", "output", "target", "solution", "label", "sql", "assistant")
_ALPACA: Final = ("output", "response")


def detect(record: Mapping[str, Any]) -> str:
    """The form that the columns of a row are of: one of run.FORMATS, `question` for question and answer; empty: none known."""
    if "messages" in record:
        return "messages"
    if "conversations" in record:
        return "sharegpt"
    if "prompt" in record and "completion" in record:
        return "prompt-completion"
    if "instruction" in record and any(name in record for name in _ALPACA):
        return "alpaca"
    if "text" in record:
        return "text"
    if "question" in record and "answer" in record:
        return "question"
    return ""


def way_out(record: Mapping[str, Any]) -> str:
    """What to do about columns that are of no form: the flags that name them, as far as their names tell."""
    inside = [name for name, value in record.items() if type(value) is list and value and type(value[0]) is dict]
    if len(inside) == 1:
        return f"its rows are inside of {inside[0]}: keep that list alone"
    ask = next((name for name in _ASKS if name in record), "")
    answer = next((name for name in _ANSWERS if name in record and name != ask), "")
    if ask and answer:
        return f"name them: --prompt '{{{ask}}}' --completion '{{{answer}}}'"
    return "name them: --prompt 'Question: {question}' --completion '{answer}'"


def maker(form: str, data: Data, first: Mapping[str, Any]) -> Maker:
    """What makes rows of one form. `first`: the first record.

    Raises:
        TuneFailed: (settings_invalid) a template that can't be, a system text for rows of plain text.
    """
    system = template.parse(data.system, "data.system") if data.system is not None else None
    if form in ("template", "question"):
        prompt, completion = (data.prompt, data.completion) if form == "template" else QUESTION["context" in first]
        if prompt is None:
            raise TuneFailed(
                Code.SETTINGS_INVALID, "data.prompt", "the format template needs a template for the prompt", "--prompt"
            )
        if completion is None and system is None:
            return _whole(template.parse(prompt, "data.prompt"))
        if completion is not None:
            return _pair(template.parse(prompt, "data.prompt").fill, template.parse(completion, "data.completion").fill, system)
    makers = {
        "messages": lambda: _talk("messages", "role", "content", system),
        "sharegpt": lambda: _talk("conversations", "from", "value", system),
        "prompt-completion": lambda: _columns(system),
        "alpaca": lambda: _alpaca(system),
    }
    if form in makers:
        return makers[form]()
    if system is not None:
        advice = "--completion makes prompt and answer of the columns"
        raise TuneFailed(Code.SETTINGS_INVALID, "data.system", "rows of plain text have no place for a system text", advice)
    return _text


def _whole(prompt: template.Template) -> Maker:
    def make(record: Mapping[str, Any]) -> Made:
        text = prompt.fill(record)
        if not text.strip():
            raise Bad("the text is empty")
        return {"text": text}, text, None

    return make


def _pair(
    ask: Callable[[Mapping[str, Any]], str], answer: Callable[[Mapping[str, Any]], str], system: template.Template | None,
    names: tuple[str, str] = ("the prompt", "the answer"),
) -> Maker:  # fmt: skip
    def make(record: Mapping[str, Any]) -> Made:
        prompt, completion = ask(record), answer(record)
        if not prompt.strip():
            raise Bad(f"{names[0]} is empty")
        if not completion.strip():
            raise Bad(f"{names[1]} is empty")
        said = system.fill(record) if system else _own_system(record)
        if not said:
            return {"prompt": prompt, "completion": completion}, prompt, completion
        asked = [{"role": "system", "content": said}, {"role": "user", "content": prompt}]
        return {"prompt": asked, "completion": [{"role": "assistant", "content": completion}]}, (said, prompt), completion

    return make


def _own_system(record: Mapping[str, Any]) -> str:
    """A column `system`, as many sets have beside their own columns."""
    said = record.get("system")
    return said if type(said) is str and not said.isspace() else ""


def _columns(system: template.Template | None) -> Maker:
    texts = _pair(lambda r: _string(r, "prompt"), lambda r: _string(r, "completion"), system, ("prompt", "completion"))

    def make(record: Mapping[str, Any]) -> Made:
        prompt, completion = record.get("prompt"), record.get("completion")
        if type(prompt) is not list:
            return texts(record)
        if type(completion) is not list:
            raise Bad("prompt is a list of messages and completion is not: both must be")
        asked = _turns(prompt, "prompt", "role", "content", last=False)
        if len(completion) != 1:
            raise Bad(f"completion has {len(completion)} messages; it must be one of the assistant")
        told = _turns([*prompt, *completion], "prompt+completion", "role", "content")[len(asked) :]
        if system and asked[0]["role"] != "system":
            asked.insert(0, {"role": "system", "content": system.fill(record)})
        return {"prompt": asked, "completion": told}, tuple(one["content"] for one in asked), told[0]["content"]

    return make


def _string(record: Mapping[str, Any], column: str) -> str:
    value = record.get(column)
    if type(value) is str:
        return value
    if value is None:
        raise Bad(f"{column} is empty" if column in record else f"no column {column}; there are {_names(record)}")
    raise Bad(f"{column} must be a text, not {type(value).__name__}")


def _alpaca(system: template.Template | None) -> Maker:
    def ask(record: Mapping[str, Any]) -> str:
        said, more = _string(record, "instruction"), record.get("input")
        if not said.strip():
            raise Bad("instruction is empty")
        if more is not None and type(more) is not str:
            raise Bad(f"input must be a text, not {type(more).__name__}")
        # a chat template trims the end; before a base model it keeps the answer apart
        return f"{said}\n\n{more}\n\n" if more and more.strip() else f"{said}\n\n"

    def answer(record: Mapping[str, Any]) -> str:
        column = next((name for name in _ALPACA if name in record), _ALPACA[0])
        said = _string(record, column)
        if not said.strip():
            raise Bad(f"{column} is empty")
        return said

    return _pair(ask, answer, system)


def _text(record: Mapping[str, Any]) -> Made:
    text = _string(record, "text")
    if not text.strip():
        raise Bad("text is empty")
    return {"text": text}, text, None


def _talk(column: str, role: str, content: str, system: template.Template | None) -> Maker:
    def make(record: Mapping[str, Any]) -> Made:
        if column not in record:
            raise Bad(f"no column {column}; there are {_names(record)}")
        made = _turns(record[column], column, role, content)
        if made[0]["role"] != "system" and (said := system.fill(record) if system else _own_system(record)):
            made.insert(0, {"role": "system", "content": said})
        if len(made) == 2:
            return {"messages": made}, made[0]["content"], made[1]["content"]
        said_all = [one["content"] for one in made]
        answer = said_all.pop()
        # with the number of turns, a list of texts says its roles: they alternate, but the first may be the system's
        return {"messages": made}, (made[0]["role"], *said_all), answer

    return make


def _turns(turns: Any, column: str, role_key: str, content_key: str, *, last: bool = True) -> list[dict[str, str]]:
    """Messages that alternate. `last`: the last is the assistant's; otherwise the user's. Raises Bad."""
    if type(turns) is not list or not turns:
        raise Bad(f"{column} must be a non-empty list")
    made: list[dict[str, str]] = []
    wanted = "user"
    for at, turn in enumerate(turns):
        if type(turn) is dict and len(turn) == 2 and turn.get("role") == wanted:  # nearly every turn is already as it will be
            content = turn.get("content")
            if type(content) is str and content and not content.isspace():
                made.append(turn)
                wanted = "assistant" if wanted == "user" else "user"
                continue
        row = _turn(turn, wanted, f"{column}[{at}]", role_key, content_key, first=at == 0)
        made.append(row)
        if row["role"] != "system":
            wanted = "assistant" if wanted == "user" else "user"
    if made[-1]["role"] == "system":
        raise Bad("only a system message")
    if last and made[-1]["role"] != "assistant":
        raise Bad("last message must be from the assistant (nothing to learn)")
    if not last and made[-1]["role"] != "user":
        raise Bad(f"the last message of {column} must be from the user")
    return made


def _turn(turn: Any, wanted: str, spot: str, role_key: str, content_key: str, *, first: bool) -> dict[str, str]:
    if type(turn) is not dict:
        raise Bad(f"{spot} must be an object with {role_key} and {content_key}")
    name = turn.get(role_key)
    if name is None:
        name = turn.get("role", turn.get("from"))
    role = _ROLES.get(name, "") if type(name) is str else ""
    if role != wanted:
        _check_role(role, name, wanted, spot, role_key, first=first)
    content = turn.get(content_key)
    if type(content) is not str:
        content = _content(turn, content_key, spot)
    if not content or content.isspace():
        raise Bad(f"{spot}.{content_key} is empty")
    return {"role": role, "content": content}


def _check_role(role: str, name: Any, wanted: str, spot: str, role_key: str, *, first: bool) -> None:
    if not role:
        known = "human or gpt" if role_key == "from" else "user or assistant"
        raise Bad(f"{spot}.{role_key} {name!r}: use {known}" if name is not None else f"{spot} has no {role_key}")
    if role == "system":
        if first:
            return
        raise Bad(f"{spot} is system: a system message can only be the first")
    raise Bad(f"{spot} is {name}, expected {wanted} (roles must alternate, starting with user)")


def _content(turn: Mapping[str, Any], key: str, spot: str) -> str:
    """A content that is no plain text: missing, under the other form's name, or a list of parts."""
    value = turn.get(key, turn.get("content", turn.get("value")))
    if type(value) is str:
        return value
    if value is None:
        if "tool_calls" in turn:
            raise Bad(f"{spot} calls a tool; only text is trained")
        raise Bad(f"{spot}.{key} is empty" if key in turn else f"{spot} has no {key}")
    if type(value) is not list:
        raise Bad(f"{spot}.{key} must be a text, not {type(value).__name__}")
    texts = []
    for part in value:
        kind = part.get("type") if type(part) is dict else None
        if kind != "text" or type(part.get("text")) is not str:
            raise Bad(
                f"{spot}.{key} holds {'a part of type ' + repr(kind) if kind else 'a part without type'}; only text is trained"
            )
        texts.append(part["text"])
    return "".join(texts)


def _names(record: Mapping[str, Any]) -> str:
    return ", ".join(sorted(record)[:8]) or "none"
