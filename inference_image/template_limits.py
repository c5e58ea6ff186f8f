"""Owns the limits of a chat template: budget, sizes, filters, methods, and the functions that it may call. Knows no template."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from jinja2 import TemplateRuntimeError
from jinja2.exceptions import SecurityError
from jinja2.utils import Namespace

STEPS: Final = 20_000
STEPS_A_MESSAGE: Final = 1_000
"""The budget of one rendering. A template of Gemma's kind takes 34 for a question and 26 for each further message (measured)."""
TEXT: Final = 1 << 18
"""Largest text, in characters, of one value and of the whole rendering: users' texts are put in afterwards."""
ITEMS: Final = 10_000
"""Most elements of a value, those of its elements included."""
_NUMBER: Final = 10_000
"""Largest width or precision, for those that take one."""
_WIDE: Final = frozenset({"center", "indent", "ljust", "rjust", "round", "zfill"})
_CHARS_A_STEP: Final = 256

_FILTERS: Final = (
    "abs capitalize count d default dictsort first float indent int items join last length list lower map max min reject"
    " rejectattr replace reverse round safe select selectattr sort string title tojson trim unique upper"
)
_OF_TEXT: Final = (
    "capitalize casefold center count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle"
    " isupper join ljust lower lstrip partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip"
    " split splitlines startswith strip swapcase title upper zfill"
)
FILTERS: Final = frozenset(_FILTERS.split())
METHODS: Final[Mapping[type, frozenset[str]]] = {
    str: frozenset(_OF_TEXT.split()),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
}
"""What templates call; str.format and the rest that can make much from little are not among it."""
_DATE: Final = re.compile(r"(?:%-?[A-Za-z%]|[^%])*")


class Overrun(TemplateRuntimeError):  # noqa: N818 - what happened, as its reader says it
    """A template that wants more work or memory than a conversation needs."""


def measure(value: Any) -> int:
    """Steps that a value costs: its elements at any depth, and its text."""
    items = text = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        items += 1
        if items > ITEMS:
            raise Overrun(f"a value of more than {ITEMS} elements")
        if isinstance(one, str):
            text += len(one)
            limit(text)
        elif isinstance(one, dict):
            waiting += one.keys()
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, int) and one.bit_length() > 64:
            raise Overrun("a number of more than 64 bits")
    return items + text // _CHARS_A_STEP


def limit(size: int) -> None:
    if size > TEXT:
        raise Overrun(f"a text of more than {TEXT} characters")


def little(name: str, holds: bool) -> None:
    """Refuse `name` unless the condition holds."""
    if not holds:
        raise Overrun(f"{name} that may make much from little")


def own_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"it stores {name[:40]!r} in a namespace")


def check_arguments(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raises Overrun for arguments of a filter, method or function that make much from little."""
    if name in _WIDE:
        little(name, all(abs(one) <= _NUMBER for one in (*args[1:], *kwargs.values()) if isinstance(one, int)))
    texts = [one for one in (*args, *kwargs.values()) if isinstance(one, str)]
    if name == "replace" and len(texts) > 2:
        limit(len(texts[0]) + (texts[0].count(texts[1]) + 1) * len(texts[2]))
    elif name == "join":
        parts = next((one for one in args if isinstance(one, list | tuple | dict | range)), texts[0] if texts else ())
        limit(sum(map(len, texts)) * (len(parts) + 1))
    elif name == "indent":
        widths = [one for one in (*args[1:], *kwargs.values()) if isinstance(one, int | str)]
        little(name, all((one if isinstance(one, int) else len(one)) <= 64 for one in widths))


def check_operator(operator: str, left: Any, right: Any) -> None:
    """Raises Overrun for operands that make much from little."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if operator == "*" and not numbers:
        little(operator, isinstance(left, str) and isinstance(right, int) and len(left) * right <= _NUMBER)
    elif operator == "**":
        little(operator, numbers and abs(right) <= 16)
    elif operator == "%":
        little(operator, not isinstance(left, str))


class Names(Namespace):
    """namespace(), whose text is short and whose names reach nothing of Python's."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # Namespace's own trick: `self` may be a keyword
        for name in dict(*args[1:], **kwargs):
            own_name(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        own_name(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<namespace>"


def _range(*args: int) -> range:
    made = range(*args)
    if len(made) > ITEMS:
        raise Overrun(f"a range of {len(made)}")
    return made


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _raise(message: object) -> None:
    raise TemplateRuntimeError(str(message))


def _now(form: str) -> str:
    """Today, as templates of other families print it. The form is checked: C's strftime takes widths of any size."""
    little("strftime_now", len(form) <= 64 and _DATE.fullmatch(form) is not None)
    return datetime.now().astimezone().strftime(form)


def tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """As transformers' own: jinja2's would escape for HTML."""
    little("tojson", indent is None or (isinstance(indent, int) and indent <= 16))
    marks = (separators[0], separators[1]) if separators else None
    little("tojson", marks is None or all(isinstance(mark, str) and len(mark) <= 16 for mark in marks))
    return json.dumps(value, ensure_ascii=bool(ensure_ascii), indent=indent, separators=marks, sort_keys=bool(sort_keys))


GLOBALS: Final[Mapping[str, Callable[..., Any]]] = {
    "range": _range, "namespace": Names, "dict": _dict, "raise_exception": _raise, "strftime_now": _now,
}  # fmt: skip
