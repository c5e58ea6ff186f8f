"""One prompt to a service of ours, and the smoke test after a deploy. Knows neither HTTP nor the Run API's details."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gemmactl.client.generate import Answer, Patience, Service, generate
from gemmactl.errors import Exit, Trouble, usage
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.rights import INVOKE
from gemmactl.result import Line, Result, Verbatim
from gemmactl.serving import evidence, find
from gemmactl.serving.explain import located
from gemmactl.serving.folder import Folders
from gemmactl.serving.place import ENV_API_KEY, Place
from gemmactl.settings import Settings
from gemmactl.spec import parse_model
from gemmactl.voice import Voice
from inference_image import contract, layout
from inference_image.contract import LoadFailed, RequestCode
from inference_image.presets import BUILT_IN, Presets
from inference_image.presets_file import Document, types_of

SMOKE_PROMPT = "Who are you?"
SMOKE_TOKENS = 24
SMOKE_TYPES = 4
"""Most types of a base model that are tried."""


@dataclass(frozen=True)
class Prompt:
    """What is asked."""

    text: str
    type: str | None = None
    max_tokens: int | None = None
    adapter: str | None = None
    images: tuple[Path, ...] = ()

    @classmethod
    def read(
        cls,
        text: str,
        type: str | None,  # noqa: A002 - the flag's own name
        max_tokens: int | None,
        adapter: str | None = None,
        images: Sequence[Path] = (),
    ) -> Prompt:
        """The prompt as typed; `-` is stdin.

        Raises:
            Trouble: (usage) it is empty, or an image is no file.
        """
        words = sys.stdin.read() if text == "-" else text
        if not words.strip():
            raise usage(
                "the prompt is empty",
                why="there is nothing to answer",
                remedy='for example gemmactl generate "Good morning."',
                code="prompt-empty",
            )
        for path in images:
            if not path.is_file():
                raise usage(
                    f"{path} is no file",
                    why="--image takes the file of an image",
                    remedy="give a PNG, JPEG, WebP or GIF that is there",
                    code="image-missing",
                )
        return cls(words, type, max_tokens, adapter, tuple(images))


def ask(place: Place, settings: Settings, name: str | None, prompt: Prompt, voice: Voice) -> Result:
    """The answer alone on stdout; with JSON all that the service says about it.

    Raises:
        Trouble: (usage) there are images: a service takes them in another form.
    """
    if prompt.images:
        raise usage(
            "--image needs --local",
            why="a service takes images in the messages of OpenAI's form alone",
            remedy="POST /v1/chat/completions with a part of the type image_url; docs/images.md has an example",
            code="image-not-local",
        )
    live = find.service(place, settings, name)
    if trouble := find.stopped(place, live):
        raise trouble
    service = reach(place, live, voice)
    try:
        answer = generate(service, prompt.text, prompt.type, prompt.max_tokens, prompt.adapter)
    except Trouble as trouble:
        raise located(trouble, place, **find.about(live)) from None
    return told(answer, place.target, service=service.name, url=service.url)


def told(answer: Answer, target: Any, **more: str) -> Result:
    """An answer as the Result of generate."""
    return Result("generate", {**answer.document(), **more}, (Verbatim(answer.text),), target=target)


def reach(place: Place, live: find.Json, voice: Voice, patience: Patience | None = None) -> Service:
    """A client of a service.

    Raises:
        Trouble: it has no address.
    """
    name, url = find.short(live), str(live.get("uri", ""))
    if not url:
        _, words = find.ready(live)
        raise Trouble(
            f"{name} has no address yet",
            why=words,
            remedy=f"gemmactl doctor {name} says what keeps it",
            code="service-no-address",
        )
    public = bool(live.get("invokerIamDisabled"))
    return Service(
        name,
        url,
        place.wire,
        token=(lambda: "") if public else (lambda: place.cloud.id_token(url)),
        caller=place.cloud.caller(),
        patience=patience or Patience(),
        tell=lambda text: voice.say(Line(text, "dim")),
        death=evidence.Watch(place, name).death,
        engine=find.engine_of(live),
        model=find.variable(live, contract.ENV_MODEL_NAME),
        types=lambda: types(place, live),
        inside=not find.outside(live),
        key=key_of(place, name, voice) if find.auth_of(live) == "api-key" else None,
    )


def key_of(place: Place, name: str, voice: Voice) -> Callable[[], str]:
    """The caller's API key: GEMMACTL_API_KEY, else a hidden prompt when it is first needed. Never a flag."""

    @cache
    def key() -> str:
        instead = f"set the variable {ENV_API_KEY}; `gemmactl keys create {name}` makes a key"
        return place.api_key or voice.secret(f"API key of {name}", instead=instead).strip()

    return key


def types(place: Place, live: find.Json) -> Presets:
    """The types beside a service's model and those of its variable, for a server that knows none of them: vLLM.

    Who may call a service may not be allowed to read its model: then the types are those that can be known.
    """
    text, model = find.variable(live, contract.ENV_PRESETS), find.model_of(live)
    try:
        deployed = Document.parse(text.encode(), contract.ENV_PRESETS) if text else None
        return types_of(_beside(place, model), deployed)
    except LoadFailed:  # vLLM started without reading them: what is wrong there is inspect's to say
        return BUILT_IN


def _beside(place: Place, model: str) -> Mapping[str, bytes]:
    if not model.startswith("gs://"):
        return {}
    folder = Folders(lambda: place.cloud, place.hub).open(parse_model(model))
    try:
        data = folder.read(contract.PRESETS, 0, layout.limit_of(contract.PRESETS) + 1)
    except Trouble:
        return {}
    return {contract.PRESETS: data} if data else {}


def _smoke_type(service: Service) -> str | None:
    """None, the model's default, because any type may have been removed.

    vLLM refuses a chat where the checkpoint has no template: there it is a raw type, which every model answers.
    """
    if service.engine != "vllm":
        return None
    return next((row.type for row in service.types().rows.values() if row.mode == "raw"), None)


def _any_answer(service: Service) -> Answer:
    """Of the default type; a base model, which has no chat template, answers types of its own, and not each of them at length."""
    try:
        return generate(service, SMOKE_PROMPT, _smoke_type(service), SMOKE_TOKENS)
    except Trouble as trouble:
        types = trouble.facts.get("types")
        if trouble.facts.get("refused") != RequestCode.UNKNOWN_TYPE or not isinstance(types, list) or not types:
            raise
        for one in types[:SMOKE_TYPES]:
            answer = generate(service, SMOKE_PROMPT, str(one), SMOKE_TOKENS)
            if answer.usage.get("completion_tokens", 1):
                break
        return answer


def smoke(service: Service) -> Answer:
    """One short prompt after a deploy: the revision answers, not only listens.

    Raises:
        Trouble: (gate) no answer came.
    """
    try:
        answer = _any_answer(service)
    except Trouble as trouble:
        trouble.exit = Exit.GATE
        trouble.facts["gate"] = "smoke"
        raise
    if not answer.usage.get("completion_tokens", 1):
        raise Trouble(
            f"{service.name} answers with nothing",
            why="the model ended its answer before the first token; its weights or its tokenizer are not what they should be",
            remedy=f"gemmactl logs {service.name} shows its start; compare the model's files with their source",
            code="smoke-empty",
            exit=Exit.GATE,
            facts={"gate": "smoke"},
        )
    return answer


@contextmanager
def no_vain_patience(place: Place, live: find.Json) -> Iterator[None]:
    """A refusal in here is waited out only where the caller holds the right by now, or nobody can tell.

    What a deploy grants on the service itself comes after its smoke test, so nothing that it did can still bring the right.
    """
    try:
        yield
    except Trouble as trouble:
        if trouble.facts.get("denied") and trouble.facts.get("permission") == INVOKE and _lacks(place, live):
            trouble.facts["denied"] = False
        raise


def _lacks(place: Place, live: find.Json) -> bool:
    try:
        return INVOKE not in place.cloud.policies.test(PolicyTarget("service", str(live["name"])), (INVOKE,))
    except Trouble:
        return False
