"""Owns the forms of OpenAI's requests, as far as they are taken; openai_fields.py has the rest. Knows no engine and no HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from inference_image.contract import ANSWERS_MOST, CHOICES_MOST
from inference_image.server.schemas import STOPS_MOST, STRICT, Chance, Stop

Prompt = str | list[int]
_Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_PromptForm = (
    str
    | Annotated[list[str], Field(min_length=1, max_length=ANSWERS_MOST)]
    | _Ids
    | Annotated[list[_Ids], Field(min_length=1, max_length=ANSWERS_MOST)]
)


def _as_stops(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_prompts(value: Any) -> list[Prompt]:
    """One text or many, one list of token ids or many: always many."""
    every = value if isinstance(value, list) else [value]
    if every and all(isinstance(one, str) for one in every):
        return every
    if every and not isinstance(every[0], list):
        every = [every]
    if not every or not all(isinstance(one, list) and one and all(type(each) is int for each in one) for one in every):
        raise PydanticCustomError("prompt", "Input should be a text, a list of texts, token ids or a list of lists of token ids")
    return every


def without_nulls(value: Any) -> Any:
    """Clients send back whole messages and options, with null or [] for all that isn't there."""
    return {name: one for name, one in value.items() if one is not None and one != []} if isinstance(value, dict) else value


class StreamOptions(BaseModel):
    """What a stream tells beside its text."""

    model_config = STRICT

    include_usage: bool = Field(default=False, description="a last event with the tokens of all answers")
    include_obfuscation: bool = Field(default=False, description="accepted and ignored")


class OpenAIRequest(Chance):
    """What both forms share."""

    model: str | None = Field(default=None, description="the served name, or an adapter's; without it the served name")
    stream: bool = Field(default=False, description="events instead of one answer")
    stream_options: Annotated[StreamOptions, BeforeValidator(without_nulls)] | None = Field(
        default=None, description="`include_usage`: a last event with the tokens of all answers"
    )
    n: int = Field(default=1, ge=1, le=CHOICES_MOST, description="answers to each prompt; with `seed` the second has seed + 1")
    top_k: int | None = Field(default=None, ge=-1, le=1000, description="only so many of the likeliest tokens; 0 and -1: all")
    seed: int | None = Field(
        default=None, ge=-(1 << 63), lt=1 << 63, description="the same seed gives the same answer on the same machine"
    )
    presence_penalty: float | None = Field(
        default=None, ge=-2, le=2, allow_inf_nan=False, description="taken from what the answer holds already"
    )
    frequency_penalty: float | None = Field(
        default=None, ge=-2, le=2, allow_inf_nan=False, description="the same, as often as it holds it"
    )
    stop: Annotated[
        list[Stop], Field(max_length=STOPS_MOST), BeforeValidator(_as_stops, json_schema_input_type=str | list[str])
    ] = Field(default=[], description=f"one text or up to {STOPS_MOST} that end an answer; not part of it")
    max_tokens: int | None = Field(default=None, ge=1, description="longest answer")


class TextPart(BaseModel):
    """A part of a message; other keys beside these are ignored."""

    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    """Where an image is."""

    url: str = Field(description="`data:image/...;base64,...`, or `gs://` below a place that the service allows")
    detail: Any = Field(default=None, description="accepted and ignored: every image is seen in one size")


class ImagePart(BaseModel):
    """An image, PNG, JPEG, WebP or GIF, for a service that was started with --images."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _as_content(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(part, dict) for part in value)):
        return value
    raise PydanticCustomError("content", "Input should be a text or a list of parts")


class Message(BaseModel):
    """One turn. Text of any role is text: it never becomes a control token."""

    model_config = STRICT

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Any, BeforeValidator(_as_content, json_schema_input_type=str | Annotated[list[TextPart | ImagePart], Field(min_length=1)])
    ] = Field(description="a text, or parts: texts and images")
    name: Any = Field(default=None, description="accepted and ignored: Gemma's templates have no place for it")
    annotations: Any = Field(default=None, description="accepted and ignored")


class JsonSchema(BaseModel):
    """A named schema, as OpenAI has it."""

    model_config = STRICT

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """The form that an answer must have."""

    model_config = STRICT

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = Field(default=None, validate_default=True)

    @field_validator("json_schema")
    @classmethod
    def _belongs(cls, value: JsonSchema | None, info: ValidationInfo) -> JsonSchema | None:
        if "type" in info.data and (info.data["type"] == "json_schema") != (value is not None):
            raise PydanticCustomError("json_schema", "it belongs to type json_schema, which needs it")
        return value


class ChatRequest(OpenAIRequest):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(**STRICT, title="ChatCompletionRequest")

    messages: list[Annotated[Message, BeforeValidator(without_nulls)]] = Field(
        min_length=1, description="turns of system or developer, user and assistant, in an order that the chat template takes"
    )
    max_completion_tokens: int | None = Field(default=None, ge=1, description="longest answer; goes before max_tokens")
    logprobs: bool = Field(default=False, description="tells the logarithm of each token's probability")
    top_logprobs: int | None = Field(default=None, ge=0, le=20, description="and those of so many alternatives")
    response_format: ResponseFormat | None = Field(
        default=None, description="`text`, `json_object`, or `json_schema` with a schema that the answer follows"
    )

    @field_validator("top_logprobs")
    @classmethod
    def _asked_for(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and not info.data.get("logprobs"):
            raise PydanticCustomError("top_logprobs", "it needs logprobs: true")
        return value


class CompletionRequest(OpenAIRequest):
    """The body of POST /v1/completions."""

    model_config = ConfigDict(**STRICT, title="CompletionRequest")

    prompt: Annotated[list[Any], BeforeValidator(_as_prompts, json_schema_input_type=_PromptForm)] = Field(
        description="texts, which never become control tokens, or token ids, which are taken as they are, control tokens too;"
        f" at most {ANSWERS_MOST} answers in all"
    )
    logprobs: int | None = Field(default=None, ge=0, le=5, description="tells the logarithms of each token and so many others")

    @field_validator("prompt")
    @classmethod
    def _not_too_many(cls, value: list[Prompt], info: ValidationInfo) -> list[Prompt]:
        if len(value) * info.data.get("n", 1) > ANSWERS_MOST:
            raise PydanticCustomError("prompt", "prompts times n are more than {most} answers", {"most": ANSWERS_MOST})
        return value
