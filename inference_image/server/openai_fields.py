"""Owns which of OpenAI's fields are taken, accepted and ignored, or refused. Knows no engine.

docs/api.md is written from these tables, and from the descriptions in openai_schemas.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from inference_image.contract import RequestCode
from inference_image.engine.request import Refused

ACCEPTED: Final[dict[str, str]] = {
    "user": "names an end user; nothing is kept of it",
    "safety_identifier": "the same",
    "metadata": "labels of a stored answer; none is stored",
    "store": "no answer is stored",
    "service_tier": "there is one tier",
    "parallel_tool_calls": "of tools, which are refused",
    "prediction": "a guess that may save time, never another answer",
    "prompt_cache_key": "of OpenAI's cache",
    "prompt_cache_options": "of OpenAI's cache",
    "prompt_cache_retention": "of OpenAI's cache",
}
"""They can't change the answer: any value is accepted, and none is looked at."""
INSIDE: Final[dict[str, str]] = {
    "stream_options.include_obfuscation": "nothing is added to events",
    "messages.name": "Gemma's templates have no place for it",
    "messages.annotations": "of an answer that comes back",
    "messages.content.prompt_cache_breakpoint": "of OpenAI's cache; so is any other key of a text",
    "messages.content.image_url.detail": "every image is seen in one size",
    "response_format.json_schema.name": "the schema alone decides",
    "response_format.json_schema.description": "the same",
    "response_format.json_schema.strict": "a schema is always kept to",
}
"""The same of fields within others, whose forms openai_schemas.py has."""


@dataclass(frozen=True)
class Never:
    """A field that would change the answer: only the values that ask for nothing are accepted."""

    why: str
    harmless: tuple[Any, ...] = ()


REFUSED: Final[dict[str, Never]] = {
    "tools": Never("Gemma 3 has no form for calling tools", ([],)),
    "tool_choice": Never("there are no tools to choose from", ("none", "auto")),
    "functions": Never("Gemma 3 has no form for calling functions", ([],)),
    "function_call": Never("there are no functions to call", ("none", "auto")),
    "modalities": Never("answers are text", (["text"],)),
    "audio": Never("answers are text"),
    "moderation": Never("there is no moderation"),
    "web_search_options": Never("there is no web search"),
    "reasoning_effort": Never("Gemma 3 does not reason apart from its answer", ("none",)),
    "verbosity": Never("Gemma 3 knows no verbosity: say it in the prompt", ("medium",)),
    "logit_bias": Never("single tokens can't be favoured", ({},)),
    "best_of": Never("all answers are returned: use n", (1,)),
    "echo": Never("an answer never holds its prompt", (False,)),
    "suffix": Never("Gemma 3 does not fill in the middle", ("",)),
}


def sift(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what means nothing: null, fields of ACCEPTED, harmless values of REFUSED.

    Raises Refused(unsupported_parameter) for any other value of a field of REFUSED.
    """
    kept = {}
    for name, value in body.items():
        if value is None or name in ACCEPTED:
            continue
        if (never := REFUSED.get(name)) is None:
            kept[name] = value
        elif not any(type(value) is type(one) and value == one for one in never.harmless):
            message = f"{name} is not supported: {never.why}"
            raise Refused(RequestCode.UNSUPPORTED_PARAMETER, message, facts={"param": name})
    return kept
