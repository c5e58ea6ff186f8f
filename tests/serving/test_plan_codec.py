"""A wish through JSON and back: every field, those of later days too, and no secret."""

from __future__ import annotations

import json
import types
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from gemmactl.serving.plan_codec import decoded, encoded
from gemmactl.spec import Serve, Token, parse_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
CANARY = "hf_CANARYcanaryCANARYcanary"
HINTS = get_type_hints(Serve)
PLAIN: dict[Any, tuple[Any, ...]] = {bool: (True, False), int: (0, 7), str: ("", "x=y,\u00e9"), type(None): (None,)}


def refuse() -> Token:
    raise AssertionError("nobody may ask for a token here")


def samples(hint: Any) -> tuple[Any, ...]:
    """Some values of a type, made from its parts: a field of a new type fails here until it has a form in the file."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if hint is Token:
        return (Token(CANARY),)
    if origin in (Union, types.UnionType):
        return tuple(value for one in inner for value in samples(one))
    if origin is Literal:
        return inner
    if origin is tuple and inner[-1] is Ellipsis:
        return ((), samples(inner[0]))
    if origin is tuple:
        return tuple(zip(*(samples(one) * 2 for one in inner), strict=False))
    if origin is frozenset:
        return (frozenset(), frozenset(samples(inner[0])))
    assert is_dataclass(hint), hint
    parts = get_type_hints(hint)
    return tuple(hint(**{f.name: samples(parts[f.name])[at] for f in fields(hint)}) for at in (0, -1))


@pytest.mark.parametrize("name", [f.name for f in fields(Serve)])
def test_every_field_of_a_wish_survives_the_file(name: str) -> None:
    """Through JSON and back each field is what it was, at its default and with other values; a token as it is given again."""
    for value in (getattr(WISH, name), *samples(HINTS[name])):
        wish = replace(WISH, **{name: value})
        text = json.dumps(encoded(wish))
        assert CANARY not in text
        assert decoded(Serve, json.loads(text), lambda: Token(CANARY)) == wish


def test_a_field_that_an_older_file_lacks_has_its_default() -> None:
    """A plan that was made before a wish was known."""
    older = {k: v for k, v in encoded(WISH).items() if k in ("project", "region", "model", "name")}
    assert decoded(Serve, older, refuse) == WISH
    with pytest.raises(ValueError, match="missing"):
        decoded(Serve, {"project": "p"}, refuse)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("cpu", "8", "cpu is not a value of type int"),
        ("cpu", True, "cpu is not a value of type int"),
        ("engine", "other", "engine is not one of"),
        ("env", [["A"]], r"env\[0\] is not a list of 2"),
        ("probe", {"path": "/x", "colour": 1}, "probe has colour, which is not known here"),
        ("hf_token", {"value": "hf_x"}, "hf_token"),
    ],
)
def test_what_is_of_another_type_is_named(field: str, value: Any, said: str) -> None:
    """With its place; a secret's value is not taken from a file."""
    with pytest.raises(ValueError, match=said):
        decoded(Serve, {**encoded(WISH), field: value}, refuse)
