"""Owns the OpenAPI document: what each route takes, answers and refuses. Knows how no request is answered.

Bodies are read by hand, because of their limits, so FastAPI can't derive them.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from inference_image.contract import REQUEST_STATUS, RequestCode
from inference_image.server.direct import Shortcut
from inference_image.server.openai_fields import ACCEPTED, REFUSED
from inference_image.server.openai_schemas import ChatRequest, CompletionRequest, Message, StreamOptions
from inference_image.server.openapi_shapes import SHAPES, Schema, either, ref
from inference_image.server.schemas import GenerateRequest
from inference_image.server.tokenize import TokenizeRequest

Route = dict[str, Any]
"""Arguments of FastAPI's decorators."""

_FORMS: Final[tuple[type[BaseModel], ...]] = (GenerateRequest, TokenizeRequest, ChatRequest, CompletionRequest)
_LATER: Final = {429, 503}


def _refusals(shape: str, *statuses: int) -> dict[int | str, Any]:
    """Refusals by status, each with the codes that it has."""
    made: dict[int | str, Any] = {}
    for status in statuses:
        codes = [str(code) for code, own in REQUEST_STATUS.items() if own == status]
        if status == 400 and shape == "OpenAIError":
            codes.append(str(RequestCode.INVALID_REQUEST))
        answer: dict[str, Any] = {"description": ", ".join(codes), "content": {"application/json": {"schema": ref(shape)}}}
        if status in _LATER:
            seconds = {"description": "seconds until it is worth another try", "schema": {"type": "integer", "minimum": 1}}
            answer["headers"] = {"Retry-After": seconds}
        made[status] = answer
    return made


def _answer(shape: Schema, *events: str) -> dict[str, Any]:
    """`events`: what the lines of a stream may hold."""
    content: dict[str, Any] = {"application/json": {"schema": shape}}
    if events:
        kinds = either(*map(ref, events))
        data = either({"const": "[DONE]"}, {"type": "string", "contentMediaType": "application/json", "contentSchema": kinds})
        item = {"type": "object", "required": ["data"], "properties": {"data": data}}
        content["text/event-stream"] = {"itemSchema": item}
    return {"description": "the answer", "content": content}


def _route(summary: str, answer: dict[str, Any], refusals: dict[int | str, Any], form: str = "") -> Route:
    made: Route = {"summary": summary, "responses": {200: answer, **refusals}, "response_model": None}
    if form:
        made["openapi_extra"] = {"requestBody": {"required": True, "content": {"application/json": {"schema": ref(form)}}}}
    return made


_OBJECT: Final[Schema] = {"type": "object"}
_PROGRESS: Final[dict[int | str, Any]] = {
    503: {"description": "not yet, with the stage", "content": {"application/json": {"schema": _OBJECT}}}
}
_OWN: Final = _refusals("Error", 400, 408, 413, 422, 429, 500, 503)
_OPENAI: Final = _refusals("OpenAIError", 400, 404, 408, 413, 429, 500, 503)

HEALTH: Final = _route("Is the process up?", _answer(_OBJECT), {})
READY: Final = _route("Is the model loaded?", _answer(_OBJECT), _PROGRESS)
TIMELINE: Final = _route("The record of this start", _answer(_OBJECT), _PROGRESS)
VERSION: Final = _route("Versions of what runs here", _answer(_OBJECT), {})
PRESETS: Final = _route("The types of /generate", _answer({"type": "array", "items": _OBJECT}), {})
METRICS: Final[Route] = {
    "summary": "Prometheus' metrics",
    "responses": {
        200: {
            "description": "in the form that was asked for",
            "content": {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")},
        }
    },
    "response_class": Response,
    "response_model": None,
}
GENERATE: Final = _route(
    "A prompt in the form of its type", _answer(ref("Generated"), "GenerateEvent", "Error"), _OWN, "GenerateRequest"
)
TOKENIZE: Final = _route("Token ids of a text or a conversation", _answer(ref("Tokens")), _OWN, "TokenizeRequest")
CHAT: Final = _route(
    "The next turn of a conversation",
    _answer(ref("ChatCompletion"), "ChatCompletionEvent", "OpenAIError"),
    _OPENAI,
    "ChatRequest",
)
COMPLETIONS: Final = _route(
    "A text continued", _answer(ref("Completion"), "CompletionEvent", "OpenAIError"), _OPENAI, "CompletionRequest"
)
MODELS: Final = _route("The model and its adapters", _answer(ref("ModelList")), _refusals("OpenAIError", 503))
MODEL: Final = _route("One of them", _answer(ref("Model")), _refusals("OpenAIError", 404, 503))


class App(Shortcut):
    """FastAPI with the document's shapes."""

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        if self.openapi_schema is None:
            made = super().openapi()
            made.setdefault("components", {}).setdefault("schemas", {}).update(components())
        assert self.openapi_schema is not None  # noqa: S101 - set by super().openapi()
        return self.openapi_schema


def components() -> dict[str, Schema]:
    """All named shapes: forms of requests as they are taken, and answers."""
    _, made = models_json_schema([(form, "validation") for form in _FORMS], ref_template="#/components/schemas/{model}")
    schemas: dict[str, Schema] = {**made["$defs"], **SHAPES}
    for form in (ChatRequest, CompletionRequest):
        properties = schemas[form.__name__]["properties"]
        properties |= {name: {"description": f"accepted and ignored: {why}"} for name, why in ACCEPTED.items()}
        properties |= {name: {"enum": [*never.harmless, None], "description": never.why} for name, never in REFUSED.items()}
    for nullable in (ChatRequest, CompletionRequest, StreamOptions):
        _allow_nulls(schemas[nullable.__name__])
    schemas[Message.__name__]["additionalProperties"] = {"enum": [None, []]}
    return schemas


def _allow_nulls(schema: Schema) -> None:
    """A client that sends null for what it doesn't want means nothing by it."""
    required = schema.get("required", [])
    for name, one in schema["properties"].items():
        kinds = one.get("anyOf")
        if name in required or "enum" in one or (kinds is None and "type" not in one and "$ref" not in one):
            continue
        if kinds is None:
            told = {key: one.pop(key) for key in ("description", "title", "default") if key in one}
            schema["properties"][name] = {**told, "anyOf": [one, {"type": "null"}]}
        elif {"type": "null"} not in kinds:
            kinds.append({"type": "null"})
