"""A wish through JSON and back: every field, those of later days too, and no secret."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from gemmactl.serving.plan_codec import decoded, encoded
from gemmactl.spec import Model, Probe, SecretRef, Serve, Token, parse_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
CANARY = "hf_CANARYcanaryCANARYcanary"


def refuse() -> Token:
    raise AssertionError("nobody may ask for a token here")


VALUES: dict[str, tuple[Any, ...]] = {
    "model": (parse_model("./some/model"), Model("hf", "hf:google/gemma-3-4b-it@main")),
    "probe": (Probe(None, 8080, True, 1, 2, 3, 4),),
    "hf_token": (Token(CANARY), SecretRef("team", "7")),
    "secrets": ((("A", SecretRef("a", "1")), ("B", SecretRef("projects/p/secrets/b"))),),
    "env": ((("A", "1"), ("B", "x=y,\u00e9")),),
    "adapters": ((("one", parse_model("gs://bucket/a")),),),
    "given": (frozenset({"cpu", "probe"}),),
}


def other(name: str, now: Any) -> tuple[Any, ...]:
    """Values of a field that it does not have by itself."""
    if name in VALUES:
        return VALUES[name]
    match now:
        case bool():
            return (not now,)
        case int():
            return (now + 1,)
        case _:
            return ()


@pytest.mark.parametrize("name", [f.name for f in fields(Serve)])
def test_every_field_of_a_wish_survives_the_file(name: str) -> None:
    """Through JSON and back each field is what it was, at its default and with another value; a token as it is given again."""
    now = getattr(WISH, name)
    for value in (now, *other(name, now)):
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
