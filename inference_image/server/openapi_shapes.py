"""Owns the shapes of all answers, as JSON Schema for the OpenAPI document. Knows no route.

The tests hold real answers to them.
"""

from __future__ import annotations

from typing import Any, Final

from inference_image.contract import STOP_REASONS, RequestCode

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
NULL: Final[Schema] = {"type": "null"}
CODE: Final[Schema] = {"type": "string", "enum": [str(code) for code in RequestCode]}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: dict[str, Any], optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """An object with these keys and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


_HEAD: Final = {"id": TEXT, "created": COUNT, "model": TEXT, "system_fingerprint": TEXT}
_FINISH: Final = {"type": "string", "enum": ["stop", "length"]}
_BYTES: Final = array({"type": "integer", "minimum": 0, "maximum": 255})
_ONE_LOGPROB: Final = {"token": TEXT, "bytes": _BYTES, "logprob": NUMBER}


def _of_object(name: str, choice: Schema, *, usage: Schema, optional: tuple[str, ...] = ()) -> Schema:
    return closed({**_HEAD, "object": {"const": name}, "choices": array(choice), "usage": usage}, optional)


def _choice(said: dict[str, Schema], logprobs: str, reason: Schema) -> Schema:
    return closed({"index": COUNT, **said, "logprobs": either(ref(logprobs), NULL), "finish_reason": reason})


_MESSAGE: Final = closed({"role": {"const": "assistant"}, "content": TEXT, "refusal": NULL})
_DELTA: Final = closed(
    {"role": {"const": "assistant"}, "content": TEXT, "refusal": NULL}, optional=("role", "content", "refusal")
)
_EVENT_END: Final = either(_FINISH, NULL)
_EVENT_USAGE: Final = either(ref("Usage"), NULL)

SHAPES: Final[dict[str, Schema]] = {
    "Error": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"code": CODE, "message": TEXT},
                "required": ["code", "message"],
                "description": "beside code and message, what belongs to the code: `fields`, `types`, `prompt_tokens`, ...",
            }
        },
        "required": ["error"],
        "additionalProperties": False,
    },
    "OpenAIError": closed({"error": closed({"message": TEXT, "type": TEXT, "param": either(TEXT, NULL), "code": CODE})}),
    "Usage": closed({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT}),
    "FullAnswer": closed(
        {
            "text": TEXT,
            "stop_reason": {"type": "string", "enum": list(STOP_REASONS)},
            "usage": ref("Usage"),
            "model": TEXT,
            "type": TEXT,
        }
    ),
    "Generated": either(TEXT, closed({"predictions": array(TEXT)}), ref("FullAnswer")),
    "GenerateEvent": either(closed({"text": TEXT}), ref("FullAnswer")),
    "ChatLogprobs": closed(
        {"content": array(closed({**_ONE_LOGPROB, "top_logprobs": array(closed(_ONE_LOGPROB))})), "refusal": NULL}
    ),
    "TextLogprobs": closed(
        {
            "tokens": array(TEXT),
            "token_logprobs": array(NUMBER),
            "top_logprobs": array({"type": "object", "additionalProperties": NUMBER}),
            "text_offset": array(COUNT),
        }
    ),
    "ChatCompletion": _of_object("chat.completion", _choice({"message": _MESSAGE}, "ChatLogprobs", _FINISH), usage=ref("Usage")),
    "ChatCompletionEvent": _of_object(
        "chat.completion.chunk",
        _choice({"delta": _DELTA}, "ChatLogprobs", _EVENT_END),
        usage=_EVENT_USAGE,
        optional=("usage",),
    ),
    "Completion": _of_object("text_completion", _choice({"text": TEXT}, "TextLogprobs", _FINISH), usage=ref("Usage")),
    "CompletionEvent": _of_object(
        "text_completion", _choice({"text": TEXT}, "TextLogprobs", _EVENT_END), usage=_EVENT_USAGE, optional=("usage",)
    ),
    "Model": closed(
        {
            "id": TEXT,
            "object": {"const": "model"},
            "created": COUNT,
            "owned_by": TEXT,
            "parent": either(TEXT, NULL),
            "max_model_len": COUNT,
        }
    ),
    "ModelList": closed({"object": {"const": "list"}, "data": array(ref("Model"))}),
    "Tokens": closed({"tokens": array(COUNT), "count": COUNT, "max_model_len": COUNT}),
}
