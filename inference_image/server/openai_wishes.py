"""Owns how an OpenAI request becomes requests to the engine. Knows no HTTP and no form of an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine.generate import Engine
from inference_image.engine.request import Refused, Request, Sampling
from inference_image.server.forms import json_object, validated, wrong_fields
from inference_image.server.openai_fields import sift
from inference_image.server.openai_schemas import ChatRequest, CompletionRequest, OpenAIRequest
from inference_image.server.pictures import INSIDE, Pictures
from inference_image.server.prompts import chat_ids, images_of, raw_ids, spoken
from inference_image.server.schemas import sampling_of


@dataclass(frozen=True)
class Wish:
    """Requests in the order of their choices, and how the answer is told."""

    requests: tuple[Request, ...]
    model: str
    prompt_tokens: int
    """Each prompt counts once, however many answers it has."""
    stream: bool
    usage: bool
    """A stream ends with the tokens of all answers."""
    prompt: str
    """What was asked, for a log that is told to keep it."""


def chat_wish(engine: Engine, body: bytes, pictures: Pictures = INSIDE) -> Wish:
    """`pictures` reads the images that messages name. Raises Refused."""
    form = validated(ChatRequest, sift(json_object(body)))
    model = _model(engine, form)
    ids = chat_ids(engine, form.messages)
    one = _request(
        engine, form, ids, longest=form.max_completion_tokens or form.max_tokens, default=contract.CHAT_TOKENS, model=model
    )
    logprobs = (form.top_logprobs or 0) if form.logprobs else None
    images = images_of(engine, form.messages, pictures)
    said = "\n".join(spoken(message.content) for message in form.messages)
    schema = _schema(form)
    engine.grammar(schema)  # compiled here, off the event loop
    return _wish([replace(one, logprobs=logprobs, schema=schema, images=images)], form, model, said)


def completion_wish(engine: Engine, body: bytes) -> Wish:
    """Raises Refused."""
    form = validated(CompletionRequest, sift(json_object(body)))
    model = _model(engine, form)
    requests = []
    for prompt in form.prompt:
        ids = raw_ids(engine.text, prompt)
        one = _request(engine, form, ids, longest=form.max_tokens, default=contract.COMPLETION_TOKENS, model=model)
        requests.append(replace(one, logprobs=form.logprobs))
    return _wish(requests, form, model, "\n".join(map(str, form.prompt)))


def _model(engine: Engine, form: OpenAIRequest) -> str:
    names = (engine.name, *engine.adapters)
    if form.model is None:
        return engine.name
    if form.model not in names:
        message = f"this service has no such model; it has: {', '.join(names)}"
        raise Refused(RequestCode.MODEL_NOT_FOUND, message, facts={"param": "model"})
    return form.model


def _request(
    engine: Engine, form: OpenAIRequest, ids: tuple[int, ...], *, longest: int | None, default: int, model: str
) -> Request:
    room = max(1, engine.max_context - len(ids))
    return Request(
        ids=ids,
        max_tokens=min(default, room) if longest is None else longest,
        stops=tuple(form.stop),
        sampling=_sampling(form, engine.defaults),
        adapter=None if model == engine.name else model,
        trim=False,
    )


def _sampling(form: OpenAIRequest, defaults: Sampling) -> Sampling:
    made = sampling_of(form, defaults)
    return replace(made, top_k=max(0, made.top_k), seed=None if made.seed is None else made.seed % (1 << 63))


def _schema(form: ChatRequest) -> str | None:
    wanted = form.response_format
    if wanted is None or wanted.type == "text":
        return None
    try:
        return json.dumps(wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"}, allow_nan=False)
    except ValueError:
        wrong_fields([("response_format.json_schema.schema", "it has a number that is too large")])


def _wish(requests: list[Request], form: OpenAIRequest, model: str, prompt: str) -> Wish:
    return Wish(
        tuple(_choice(one, number) for one in requests for number in range(form.n)),
        model,
        prompt_tokens=sum(len(one.ids) for one in requests),
        stream=form.stream,
        usage=form.stream_options is not None and form.stream_options.include_usage,
        prompt=prompt,
    )


def _choice(request: Request, number: int) -> Request:
    """The n-th answer to one prompt: another seed, or all of them would be the same."""
    seed = request.sampling.seed
    if not number or seed is None:
        return request
    return replace(request, sampling=replace(request.sampling, seed=(seed + number) % (1 << 63)))
