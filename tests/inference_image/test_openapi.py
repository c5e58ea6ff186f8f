"""The OpenAPI document: every route is in it, and what routes do to requests made from it is what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings

from inference_image.engine import Engine
from inference_image.engine.schedule import Part
from inference_image.server.app import create_app
from tests.inference_image.fake_engine import text_of_sample
from tests.inference_image.fake_steps import certain
from tests.inference_image.listening import service_of

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]
WORDS = (300, 400, 500, 5)


class Quick:
    """Says the same four tokens to everybody."""

    rows = 4

    def __init__(self) -> None:
        self._said = [0] * self.rows

    def prompt(self, parts: Sequence[Part]) -> Any:
        for part in parts:
            self._said[part.row] = 0
        return self._next([part.row for part in parts if part.last])

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> Any:
        return self._next(range(len(tokens)))

    def move(self, source: int, target: int, tokens: int) -> None:
        self._said[target] = self._said[source]

    def _next(self, rows: Sequence[int] | range) -> Any:
        said = [WORDS[self._said[row] % len(WORDS)] for row in rows]
        for row in rows:
            self._said[row] += 1
        return certain(said)


@pytest.fixture(scope="module")
def app() -> Any:
    certain([0])  # imports torch: no request waits for it
    engine = Engine(Quick(), text_of_sample(), name="sample", stop_ids=frozenset({1, 5}), max_context=512, max_queue=64)
    yield create_app(service_of(engine))
    engine.close()


def test_every_route_is_in_the_document(app: Any) -> None:
    """With a summary, its answers and its refusals."""
    document = app.openapi()
    routes = {route.path_format: route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema}
    assert document["paths"].keys() == routes.keys()
    for path in ("/generate", "/tokenize", "/v1/chat/completions", "/v1/completions"):
        told = document["paths"][path]["post"]
        assert {"200", "400", "413", "429", "500", "503"} <= told["responses"].keys()
        assert "requestBody" in told
    names = {one.rpartition("/")[2] for one in references(document)}
    assert names <= document["components"]["schemas"].keys()


def references(value: Any) -> set[str]:
    """All `$ref` of a document."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


@pytest.fixture(scope="module")
def operations(app: Any) -> dict[str, Any]:
    """By path, as the document tells them."""
    accepted = {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404]}}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=schemathesis.Config.from_dict({"checks": accepted}))
    return {one.ok().path: one.ok() for one in schema.get_all_operations()}


MADE = ("/generate", "/tokenize", "/v1/chat/completions", "/v1/completions", "/v1/models/{model}")
"""Routes whose requests differ."""


@pytest.mark.parametrize("path", MADE)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_requests_made_from_the_document(operations: dict[str, Any], path: str, mode: schemathesis.GenerationMode) -> None:
    """Valid requests are answered or refused for a documented reason, invalid ones refused; every answer has its shape.

    400 is one of the reasons: a chat template may refuse an order of turns, which no schema says.
    """
    if mode is schemathesis.GenerationMode.NEGATIVE and path == "/v1/models/{model}":
        return  # every text may be a model's name

    @given(case=operations[path].as_strategy(generation_mode=mode))
    @settings(max_examples=8, deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=SLOW)
    def run(case: Any) -> None:
        case.call_and_validate()

    run()


def test_routes_that_are_asked_in_one_way(operations: dict[str, Any]) -> None:
    """All others of the document answer what it says, too."""
    others = operations.keys() - set(MADE)
    assert {"/health", "/ready", "/version", "/metrics", "/v1/models", "/v1/presets", "/v1/timeline"} <= others
    for path in sorted(others):
        operations[path].Case().call_and_validate()
