"""A wish as plain JSON and back, by the types of its fields, those of later days too. Knows no file and no secret's value."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gemmactl.spec import Token

FROM: Final = "given_again_as"
"""In place of a secret's value: where whoever applies the plan must give it again."""
HF_TOKEN: Final = "HF_TOKEN"

Ask = Callable[[], Any]
T = TypeVar("T")


def encoded(value: Any) -> Any:
    """Dataclasses as objects, tuples as lists. A secret's value never gets out: the name of the variable it came from does."""
    if isinstance(value, Token):
        return {FROM: HF_TOKEN}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encoded(getattr(value, f.name)) for f in fields(value) if f.init}
    if isinstance(value, tuple | list):
        return [encoded(part) for part in value]
    if isinstance(value, frozenset | set):
        return sorted(encoded(part) for part in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a wish holds a {type(value).__name__}, which has no form in a plan file")


def decoded(kind: type[T], data: Any, secret: Ask) -> T:
    """The value of a type. A field that is missing has its default; `secret` gives the value that a plan file never holds.

    Raises:
        ValueError: the data is not of this type; the text names the place.
    """
    return _read(kind, data, secret, "")  # type: ignore[no-any-return]  # checked field by field


def _read(hint: Any, data: Any, secret: Ask, at: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), data, secret, at)
    if origin is Literal:
        return _is(data in get_args(hint), data, at, f"one of {', '.join(map(str, get_args(hint)))}")
    if origin is tuple:
        _is(isinstance(data, list), data, at, "a list")
        inner = get_args(hint)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_read(inner[0], part, secret, f"{at}[{i}]") for i, part in enumerate(data))
        _is(len(data) == len(inner), data, at, f"a list of {len(inner)}")
        return tuple(_read(one, part, secret, f"{at}[{i}]") for i, (one, part) in enumerate(zip(inner, data, strict=True)))
    if origin is frozenset:
        _is(isinstance(data, list), data, at, "a list")
        return frozenset(_read(get_args(hint)[0], part, secret, f"{at}[{i}]") for i, part in enumerate(data))
    if hint is Token:
        _is(isinstance(data, dict) and set(data) == {FROM}, data, at, "a secret that is given again")
        return secret()
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, data, secret, at)
    if hint is type(None):
        return _is(data is None, data, at, "null")
    return _is(type(data) is hint, data, at, f"a value of type {hint.__name__}")


def _union(hints: tuple[Any, ...], data: Any, secret: Ask, at: str) -> Any:
    said = []
    for hint in hints:
        try:
            return _read(hint, data, secret, at)
        except ValueError as error:
            said.append(str(error))
    # a part that was read further than the others knows better what is wrong
    raise ValueError(max(said, key=len))


def _dataclass(kind: Any, data: Any, secret: Ask, at: str) -> Any:
    _is(isinstance(data, dict), data, at, f"a {kind.__name__}")
    hints = _hints(kind)
    known = {f.name for f in fields(kind) if f.init}
    if strange := sorted(set(data) - known):
        raise ValueError(f"{at or kind.__name__} has {', '.join(strange)}, which is not known here")
    try:
        return kind(**{name: _read(hints[name], part, secret, f"{at}.{name}".lstrip(".")) for name, part in data.items()})
    except TypeError as error:
        raise ValueError(f"{at or kind.__name__}: {error}") from None


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _is(right: bool, data: T, at: str, what: str) -> T:
    if not right:
        raise ValueError(f"{at or 'the wish'} is not {what}")
    return data
