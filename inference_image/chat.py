"""Owns the chat template of a checkpoint: where it is, whether it can be used, and what it makes of a conversation.

Knows no tokenizer. jinja2 is imported inside functions only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.families import BEGIN, FAMILIES, GEMMA3, Family, Turns
from inference_image.layout import TEMPLATE_LIMIT, check_pointer
from inference_image.presets import Message, Part

if TYPE_CHECKING:
    from inference_image.template import ChatTemplate

# Stands for a user's text while the chat template is rendered; private-use signs that no template contains.
_MARK: Final = "\ue0f0{}\ue0f1"
_MARKED: Final = re.compile("( ?)\ue0f0([0-9]+)\ue0f1( ?)")


def special_texts(tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and its kin from tokenizer_config.json, where each is a string or an object with `content`."""
    texts = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = tokenizer_config.get(name)
        text = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(text, str):
            texts[name] = text
    texts.setdefault("bos_token", BEGIN)
    return texts


def embedded_template(tokenizer_config: Mapping[str, Any]) -> str | None:
    """Checkpoints written before transformers 4.5x keep the template inside tokenizer_config.json."""
    value = tokenizer_config.get("chat_template")
    if isinstance(value, list):
        value = next((row.get("template") for row in value if isinstance(row, Mapping) and row.get("name") == "default"), None)
    return value if isinstance(value, str) else None


def template_text(data: bytes) -> str:
    """The text of chat_template.jinja. Raises LoadFailed(tokenizer_invalid) for a Git LFS pointer."""
    check_pointer(data, contract.CHAT_TEMPLATE, Code.TOKENIZER_INVALID)
    return data.decode("utf-8", "replace")


def compile_template(source: str) -> ChatTemplate:
    """A checkpoint is input from outside: its template runs in a sandbox, on a budget. Raises LoadFailed(tokenizer_invalid)."""
    from inference_image.template import ChatTemplate

    if len(source) > TEMPLATE_LIMIT:
        raise _invalid(f"{len(source)} characters; at most {TEMPLATE_LIMIT} are compiled")
    try:
        return ChatTemplate(source)
    except Exception as error:  # noqa: BLE001 - a hostile source breaks its compiler in many ways: too deep, too long, no text
        raise _invalid(_told(error)) from None


def render(template: ChatTemplate, messages: Sequence[Message], special: Mapping[str, str]) -> list[Part]:
    """The chat template with marks where users' texts go, then the texts put in: the template never sees them.

    Raises LoadFailed(tokenizer_invalid): the template refuses this conversation, wants too much, or does not print it.
    """
    contents = [message.parts for message in messages]
    # Spaces around a mark tell whether the template trims: then we trim the text in its place.
    dialogue = [{"role": message.role, "content": f" {_MARK.format(index)} "} for index, message in enumerate(messages)]
    try:
        rendered = template.text(dialogue, special)
    except Exception as error:  # noqa: BLE001 - a template may raise anything, its own raise_exception included
        raise _invalid(_told(error)) from None
    parts: list[Part] = []
    end = 0
    placed = []
    for found in _MARKED.finditer(rendered):
        parts.append(Part(rendered[end : found.start()], trusted=True))
        index = int(found[2])
        parts += contents[index] if found[1] and found[3] else _trimmed(contents[index])
        placed.append(index)
        end = found.end()
    if placed != list(range(len(messages))):
        raise _invalid("the template does not print each message once")
    return [*parts, Part(rendered[end:], trusted=True)]


def checked_template(source: str, tokenizer_config: Mapping[str, Any]) -> ChatTemplate:
    """A template that prints a question. Raises LoadFailed(tokenizer_invalid) for one that can't, or wants too much.

    It may refuse a conversation of several turns: then only those are refused, when they come.
    """
    from inference_image.template_limits import Overrun

    template, special = compile_template(source), special_texts(tokenizer_config)
    render(template, [_QUESTION], special)
    try:
        template.text([{"role": role, "content": "?"} for role in ("user", "assistant", "user")], special)
    except Overrun as error:
        raise _invalid(_told(error)) from None
    except Exception:  # noqa: BLE001, S110 - its own refusal of several turns
        pass
    return template


def check_template(source: str, tokenizer_config: Mapping[str, Any]) -> None:
    """Raises LoadFailed(tokenizer_invalid) exactly when the engine would."""
    checked_template(source, tokenizer_config)


def kind_of(
    source: str | ChatTemplate | None, row: Family, tokenizer_config: Mapping[str, Any] | None = None
) -> Literal["own", "foreign", "none"]:
    """Does a template, as text or compiled, mark turns as the family was trained to read them? `none`: there is no template.

    Raises LoadFailed(tokenizer_invalid) for a template that can't print a question.
    """
    if source is None:
        return "none"
    compiled = compile_template(source) if isinstance(source, str) else source
    printed = "".join(part.text for part in render(compiled, [_QUESTION], special_texts(tokenizer_config or {})))
    return "own" if row.turns is not None and row.turns.start in printed and row.turns.end in printed else "foreign"


def _built_in(turns: Turns) -> str:
    """Our own template for a family that has no role for the system: its text opens the first turn of the user."""
    return f"""\
{{{{- bos_token -}}}}
{{%- set opening = "" -%}}
{{%- if messages[0]["role"] == "system" -%}}
    {{%- set opening = messages[0]["content"] | trim ~ "\n\n" -%}}
    {{%- set messages = messages[1:] -%}}
{{%- endif -%}}
{{%- for message in messages -%}}
    {{%- if message["role"] != ("assistant" if loop.index0 % 2 else "user") -%}}
        {{{{- raise_exception("turns must go user, assistant, user, and so on") -}}}}
    {{%- endif -%}}
    {{{{- "{turns.start}" ~ ("{turns.model}" if message["role"] == "assistant" else "user") ~ "\n" -}}}}
    {{%- if loop.first -%}}{{{{- opening -}}}}{{%- endif -%}}
    {{{{- message["content"] | trim ~ "{turns.end}\n" -}}}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}
    {{{{- "{turns.start}{turns.model}\n" -}}}}
{{%- endif -%}}
"""


BUILT_IN: Final[Mapping[str, str]] = {
    row.key: _built_in(row.turns) for row in FAMILIES if row.turns is not None and row.turns == GEMMA3.turns
}
"""For a checkpoint that has none, by the key of its family: what inspect offers. The engine never puts one in by itself."""

_QUESTION: Final = Message("user", (Part("?", trusted=False),))


def _trimmed(parts: Sequence[Part]) -> list[Part]:
    """The parts of one message without white space at its two ends."""
    kept = list(parts)
    while kept and not kept[0].text.lstrip():
        kept.pop(0)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        kept[0] = Part(kept[0].text.lstrip(), kept[0].trusted)
        kept[-1] = Part(kept[-1].text.rstrip(), kept[-1].trusted)
    return kept


def _told(error: BaseException) -> str:
    return str(error)[:300] or type(error).__name__


def _invalid(detail: str) -> LoadFailed:
    return LoadFailed(Code.TOKENIZER_INVALID, contract.CHAT_TEMPLATE, detail)
