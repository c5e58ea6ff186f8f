"""Owns the chat template of a checkpoint: where it is, whether it can be used, and what it makes of a conversation.

Knows no tokenizer. jinja2 is imported inside functions only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.families import BEGIN, FAMILIES, GEMMA3, Family, Turns
from inference_image.layout import TEMPLATE_LIMIT, check_pointer
from inference_image.presets import Message, Part, Picture, Presets, Raw, put

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


def render(
    template: ChatTemplate, messages: Sequence[Message], special: Mapping[str, str], image: Image | None = None
) -> list[Part]:
    """The chat template with marks where users' texts go, then the texts put in: the template never sees them.

    `image`: what stands for a picture; None: there are none. Raises LoadFailed(tokenizer_invalid): the template refuses this
    conversation, wants too much, or does not print it.
    """
    if any(message.listed for message in messages):
        try:
            return _printed(template, _Dialogue.of_items(messages), special, image)
        except LoadFailed:
            pass  # a template that knows no lists, as many fine-tunes have: it gets each message as one text
    return _printed(template, _Dialogue.of_texts(messages), special, image)


@dataclass(frozen=True)
class Image:
    """A template prints `start` where an image goes; the prompt holds `whole` there."""

    start: str
    whole: str


@dataclass
class _Dialogue:
    """Messages as a template takes them; `texts` has what each mark stands for, `pictures` counts the items that are none."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    texts: list[Sequence[Part | Picture]] = field(default_factory=list)
    pictures: int = 0

    @classmethod
    def of_texts(cls, messages: Sequence[Message]) -> _Dialogue:
        made = cls()
        for message in messages:
            made.messages.append({"role": message.role, "content": made._mark(message.parts)})
        return made

    @classmethod
    def of_items(cls, messages: Sequence[Message]) -> _Dialogue:
        made = cls()
        for message in messages:
            content = [made._item(part) for part in message.parts] if message.listed else made._mark(message.parts)
            made.messages.append({"role": message.role, "content": content})
        return made

    def _item(self, part: Part | Picture) -> dict[str, str]:
        if isinstance(part, Picture):
            self.pictures += 1
            return {"type": "image"}
        return {"type": "text", "text": self._mark([part])}

    def _mark(self, parts: Sequence[Part | Picture]) -> str:
        self.texts.append(parts)
        # Spaces around a mark tell whether the template trims: then we trim the text in its place.
        return f" {_MARK.format(len(self.texts) - 1)} "


def _printed(template: ChatTemplate, dialogue: _Dialogue, special: Mapping[str, str], image: Image | None) -> list[Part]:
    try:
        rendered = template.text(dialogue.messages, special)
    except Exception as error:  # noqa: BLE001 - a template may raise anything, its own raise_exception included
        raise _invalid(_told(error)) from None
    parts: list[Part] = []
    end, pictures = 0, 0
    placed = []

    def own(text: str) -> None:
        nonlocal pictures
        if image is not None and dialogue.pictures:
            pictures += text.count(image.start)
            text = text.replace(image.start, image.whole)
        parts.append(Part(text, trusted=True))

    for found in _MARKED.finditer(rendered):
        own(rendered[end : found.start()])
        index = int(found[2])
        content = dialogue.texts[index] if index < len(dialogue.texts) else ()
        parts += _with_images(content if found[1] and found[3] else _trimmed(content), image)
        placed.append(index)
        end = found.end()
    own(rendered[end:])
    if placed != list(range(len(dialogue.texts))) or pictures != dialogue.pictures:
        raise _invalid("the template does not print each message once")
    return parts


def _with_images(parts: Sequence[Part | Picture], image: Image | None) -> list[Part]:
    made = []
    for part in parts:
        if isinstance(part, Part):
            made.append(part)
        elif image is None:
            raise _invalid("no images are answered here")
        else:
            made.append(Part(image.whole, trusted=True))
    return made


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


def require_presets(presets: Presets, template: ChatTemplate | None, special: Mapping[str, str]) -> None:
    """Raises LoadFailed for a type with a system text that the template does not print, as some of Gemma's own refuse it.

    A checkpoint without a template serves its raw types; the others are refused when they are asked for.
    """
    if template is None:
        return
    for row in presets.rows.values():
        asked = put(row, "?")
        if not row.system or isinstance(asked, Raw):
            continue
        try:
            render(template, asked.messages, special)
        except LoadFailed as failed:
            code = Code.SETTING_INVALID if row.origin == contract.ENV_PRESETS else Code.PRESETS_INVALID
            detail = f"type {row.type}: system: the model's chat template does not take it: {failed.failure.detail}"
            raise LoadFailed(code, row.origin, detail) from None


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


def _trimmed(parts: Sequence[Part | Picture]) -> list[Part | Picture]:
    """The parts of one message without white space at its two ends."""
    kept = list(parts)
    while kept and isinstance(first := kept[0], Part):
        kept[0] = Part(first.text.lstrip(), first.trusted)
        if first.text.strip():
            break
        kept.pop(0)
    while kept and isinstance(last := kept[-1], Part):
        kept[-1] = Part(last.text.rstrip(), last.trusted)
        if last.text.strip():
            break
        kept.pop()
    return kept


def _told(error: BaseException) -> str:
    return str(error)[:300] or type(error).__name__


def _invalid(detail: str) -> LoadFailed:
    return LoadFailed(Code.TOKENIZER_INVALID, contract.CHAT_TEMPLATE, detail)
