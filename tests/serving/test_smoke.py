"""The smoke test asks what the model can answer: a base model without a chat template is no fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gemmactl.client.generate import Service
from gemmactl.client.wire import Reply
from gemmactl.errors import Exit, Trouble
from gemmactl.serving.ask import no_vain_patience, smoke
from gemmactl.serving.deploy import deploy
from tests.fakes.cloud import FakeCloud
from tests.fakes.refusal import refusal
from tests.serving.ear import Answers, Ear, place, with_model
from tests.serving.rolling import NAME, WISH


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


def test_a_first_deploy_whose_caller_may_not_call_it_ends_at_once() -> None:
    """The right is asked for again at the refusal: still lacking, it is not waited for, and exit 5 names the cause."""
    cloud = with_model(FakeCloud())
    cloud.lacking = frozenset({"run.routes.invoke"})
    closed = Answers(403, {"error": {"message": "may not invoke"}})
    result = deploy(WISH, place(cloud, closed), Ear(), yes=True)
    assert (result.exit, len(closed.sent)) == (Exit.GATE, 1)
    assert result.problems[0].code == "not-invoker"
    assert "roles/run.invoker" in result.problems[0].remedy


@pytest.mark.parametrize("untold", [True, False])
def test_a_refusal_is_waited_out_where_the_right_is_held_or_nobody_can_tell(untold: bool) -> None:
    """A role that was granted a minute ago takes effect slowly."""
    cloud = FakeCloud()

    def refuse(name: str) -> None:
        if untold and name == "policies.test":
            raise refusal(403, "denied")

    cloud.before_call = refuse
    facts: dict[str, Any] = {"denied": True, "permission": "run.routes.invoke"}
    with pytest.raises(Trouble) as caught, no_vain_patience(place(cloud), {"name": NAME}):
        raise Trouble("no", why="x", remedy="x", code="not-invoker", facts=facts)
    assert caught.value.facts["denied"] is True
