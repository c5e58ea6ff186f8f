"""The smoke test asks what the model can answer: a base model without a chat template is no fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gemmactl.client.generate import Service
from gemmactl.client.wire import Reply
from gemmactl.errors import Exit, Trouble
from gemmactl.serving.ask import smoke


class BaseModel:
    """Knows no chat; `tokens`: how long its answer of each type is."""

    def __init__(self, **tokens: int) -> None:
        self.tokens = tokens
        self.asked: list[str | None] = []

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        said: Any = json.loads(body or b"{}")
        self.asked.append(said.get("type"))
        if said.get("type") not in self.tokens:
            error = {"code": "unknown_type", "message": "this model has no chat template", "types": list(self.tokens)}
            return Reply(400, {}, json.dumps({"error": error}).encode())
        count = self.tokens[said["type"]]
        return Reply(200, {}, json.dumps({"text": "x" * count, "usage": {"completion_tokens": count}}).encode())


def test_one_of_its_own_types_is_tried() -> None:
    """After the default was refused; one that ends at once says nothing, the next one does."""
    wire = BaseModel(translation=0, sql=3)
    assert smoke(Service("s", "https://s.example.com", wire)).usage == {"completion_tokens": 3}
    assert wire.asked == [None, "translation", "sql"]


@pytest.mark.parametrize(("tokens", "code"), [({"translation": 0}, "smoke-empty"), ({}, "request-refused")])
def test_what_answers_nothing_fails_the_gate(tokens: dict[str, int], code: str) -> None:
    """No type with a token, or no type at all."""
    with pytest.raises(Trouble) as caught:
        smoke(Service("s", "https://s.example.com", BaseModel(**tokens)))
    assert (caught.value.code, caught.value.exit) == (code, Exit.GATE)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_an_address_that_sends_elsewhere_has_answered_nothing(status: int) -> None:
    """A redirect is no completion, whatever it carries: the gate fails, and the address is not followed with the token."""

    class Moved:
        asked: tuple[str, ...] = ()

        def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
            self.asked += (url,)
            return Reply(status, {"location": "https://elsewhere.example.com/"}, json.dumps({"text": "Hi"}).encode())

    wire = Moved()
    with pytest.raises(Trouble) as caught:
        smoke(Service("s", "https://s.example.com", wire))
    assert (caught.value.exit, set(wire.asked)) == (Exit.GATE, {"https://s.example.com/generate"})
    assert str(status) in str(caught.value)
