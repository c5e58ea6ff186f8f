"""Owns the form of presets beside the weights or in a deployment, and the types that they make. Reads no file.

A document comes from outside: every key is known, and every value is checked before anything is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from inference_image import contract, plain_yaml
from inference_image.contract import Code, LoadFailed
from inference_image.presets import BUILT_IN, PROMPT, TEXT_TYPE, Preset, Presets
from inference_image.small_files import PRESETS_LIMIT, VARIABLE_LIMIT, check_pointer, parse_json

TYPES_MOST: Final = 64
TEXT_MOST: Final = 16 << 10
"""Characters of a template, and of a system text."""
STOPS_MOST: Final = 8
STOP_MOST: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOP: Final = ("schema", "default", "types")
_MODES: Final = ("raw", "chat")

Refusal = Callable[[str], LoadFailed]


def _number(least: float, most: float, *, open_below: bool = False) -> tuple[Callable[[object], bool], str]:
    def fits(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return least <= value <= most and not (open_below and value == least)

    return fits, f"a number {'above' if open_below else 'from'} {least:g} {'and up ' if open_below else ''}to {most:g}"


def _whole(least: int, most: int) -> tuple[Callable[[object], bool], str]:
    def fits(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return fits, f"a whole number from {least} to {most}"


_SAMPLING: Final = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1, open_below=True),
    "top_k": _whole(0, 1000),
    "min_p": _number(0, 1),
    "repetition_penalty": _number(0, 2, open_below=True),
}
_NUMBERS: Final = {**_SAMPLING, "max_tokens": _whole(1, contract.CONTEXT_MOST)}
_KEYS: Final = ("mode", "template", "system", "stop", *_NUMBERS)


@dataclass(frozen=True)
class Document:
    """What one place says: `types` has the keys that it gives of each type, or None for one that it takes away."""

    where: str
    types: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    default: str = ""

    @classmethod
    def parse(cls, data: bytes, where: str) -> Document:
        """From the file contract.PRESETS, the variable contract.ENV_PRESETS, or another file (`where` is its name).

        Raises LoadFailed: setting_invalid for the variable, presets_invalid for a file; names type and key.
        """
        value = plain(data, where)
        fail = _refusal(where)
        if odd := sorted(map(str, value.keys() - set(_TOP))):
            raise fail(f"{odd[0][:60]!r} is none of {', '.join(_TOP)}")
        if value.get("schema") != contract.PRESETS_SCHEMA:
            raise fail(f"schema is {str(value.get('schema'))[:60]!r}, not {contract.PRESETS_SCHEMA}")
        types = value.get("types", {})
        if not isinstance(types, dict) or len(types) > TYPES_MOST:
            raise fail(f"types is no mapping of at most {TYPES_MOST} names")
        default = value.get("default", "")
        if "default" in value and not (isinstance(default, str) and default):
            raise fail("default is no name of a type")
        return cls(where, {name: _row(name, row, fail) for name, row in types.items()}, default)

    def over(self, below: Presets) -> Presets:
        """The types of `below` with what this document says. Raises LoadFailed as parse does."""
        rows, fail = dict(below.rows), _refusal(self.where)
        for name, said in self.types.items():
            old = rows.get(name)
            if said is None:
                if rows.pop(name, None) is None:
                    raise fail(f"type {name}: null removes a type, and there is none of that name")
            elif old is None and "mode" not in said:
                raise fail(f"type {name}: mode is missing; without it a row changes a type that is there already, and none is")
            else:
                rows[name] = _made(name, said, None if "mode" in said else old, self.where, fail)
        default = self.default or below.default
        if default and default not in rows:
            raise fail(f"default: there is no type {default[:80]!r}; there are: {', '.join(rows) or 'none'}")
        if not default and TEXT_TYPE not in rows:
            raise fail(f"default is missing: {TEXT_TYPE}, which a request without a type gets, was removed")
        return Presets(rows, default)


def types_of(small: Mapping[str, bytes], deployed: Document | None) -> Presets:
    """The built-in types, with those beside the weights, and those of the deployment, which win. Raises LoadFailed."""
    found = BUILT_IN
    if contract.PRESETS in small:
        found = Document.parse(small[contract.PRESETS], contract.PRESETS).over(found)
    return deployed.over(found) if deployed is not None else found


# --- rows -----------------------------------------------------------------------------------------


def _refusal(where: str) -> Refusal:
    code = Code.SETTING_INVALID if where == contract.ENV_PRESETS else Code.PRESETS_INVALID
    return lambda detail: LoadFailed(code, where, detail)


def _row(name: object, row: object, fail: Refusal) -> Mapping[str, Any] | None:
    """The keys of one type, each legal by itself."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise fail(f"type {str(name)[:80]!r}: a name has up to 64 letters, digits, '.', '_' and '-', a letter or digit first")
    if row is None:
        return None

    if not isinstance(row, dict):
        raise fail(f"type {name}: neither a mapping nor null")
    for key, value in row.items():
        if key not in _KEYS:
            raise fail(f"type {name}: {str(key)[:60]!r} is none of {', '.join(_KEYS)}")
        if problem := _problem(key, value):
            raise fail(f"type {name}: {key}: {problem}")
    return dict(row)


def _problem(key: str, value: Any) -> str:
    """What is wrong with one value; `` when nothing is."""
    match key:
        case "mode":
            return "" if value in _MODES else f"it is {' or '.join(_MODES)}"
        case "template":
            wrong = _no_text(value, TEXT_MOST)
            return wrong or ("" if (count := value.count(PROMPT)) == 1 else f"{PROMPT} stands in it {count} times, not once")
        case "system":
            wrong = _no_text(value, TEXT_MOST)
            return wrong or (f"{PROMPT} belongs into the template" if PROMPT in value else "")
        case "stop":
            if not isinstance(value, list) or len(value) > STOPS_MOST:
                return f"it is a list of at most {STOPS_MOST} texts"
            return next(filter(None, (_no_text(one, STOP_MOST) for one in value)), "")
        case _:
            fits, wanted = _NUMBERS[key]
            return "" if fits(value) else f"it is {wanted}"


def _no_text(value: object, most: int) -> str:
    if not isinstance(value, str) or not value:
        return "it is a text; put quotes around what YAML reads as something else"
    if len(value) > most:
        return f"{len(value)} characters; at most {most} are taken"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return "half of a sign (a lone surrogate) is no text"
    return ""


def _made(name: str, said: Mapping[str, Any], old: Preset | None, where: str, fail: Refusal) -> Preset:
    """A whole type, or an old one with some of its keys changed."""
    if old is None and "template" not in said:
        raise fail(f"type {name}: template is missing, for example {PROMPT!r}")
    start = old or Preset(name, said["mode"], said["template"])
    changed = {key: said[key] for key in ("template", "system", "max_tokens") if key in said}
    if "stop" in said:
        changed["stops"] = tuple(said["stop"])
    chances = dict(start.sampling) | {key: said[key] for key in _SAMPLING if key in said}
    made = replace(start, **changed, sampling=tuple(chances.items()), origin=where)
    if made.mode == "raw" and made.system:
        raise fail(f"type {name}: system: a raw type has no messages; put the text into its template")
    return made


# --- the document as text -------------------------------------------------------------------------


def plain(data: bytes, where: str) -> dict[str, Any]:
    """A document as plain values, its size and form checked, its content not. Raises LoadFailed as Document.parse does."""
    fail = _refusal(where)
    limit = VARIABLE_LIMIT if where == contract.ENV_PRESETS else PRESETS_LIMIT
    if len(data) > limit:
        raise fail(f"{len(data)} bytes; at most {limit} are read")
    code = fail("").failure.code
    check_pointer(data, where, code)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise fail("it is no text in UTF-8") from None
    if text.lstrip().startswith("{"):
        try:
            return parse_json(data, where, code)
        except LoadFailed:
            pass  # YAML's own braces, perhaps: they need no quotes
    try:
        value = plain_yaml.parse(text)
    except ValueError as error:
        hint = f"; a text with {PROMPT} needs quotes, or a block after |" if str(error).endswith("valid YAML") else ""
        raise fail(f"{error}{hint}") from None
    if not isinstance(value, dict):
        raise fail("it is no mapping with schema and types")
    return value
