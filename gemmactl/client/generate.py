"""One answer of a service that may be asleep: token, patience, and an error that names who must do what. Knows no cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gemmactl.client import openai
from gemmactl.client.wire import Reply, Wire
from gemmactl.errors import Trouble, usage
from gemmactl.spec import ServingEngine
from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.presets import BUILT_IN, Presets


@dataclass(frozen=True)
class Patience:
    """How long a waking service is waited for, on which clock. `budget` covers Cloud Run's start-up probe and queue."""

    budget: float = 900.0
    first: float = 1.0
    longest: float = 15.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Service:
    """A running service and who calls it. `token` is asked for at every attempt: it lives for an hour."""

    name: str
    url: str
    wire: Wire
    token: Callable[[], str] = lambda: ""
    caller: str = ""
    patience: Patience = field(default_factory=Patience)
    tell: Callable[[str], None] = lambda _text: None
    death: Callable[[], Trouble | None] = lambda: None
    """Asked while it wakes: why its container died meanwhile, if it did. Then waiting is vain."""
    engine: ServingEngine = "gemmactl"
    """Which routes it has."""
    model: str = ""
    """The name that vLLM serves under; it answers 404 to any other."""
    types: Callable[[], Presets] = lambda: BUILT_IN
    """Asked where the server has none of its own: vLLM."""
    key: Callable[[], str] | None = None
    """Asked where the service wants an API key; None: it wants none. Beside a token both are sent, each in its own header."""
    inside: bool = False
    """Whether only callers inside of Google's network reach it: its ingress."""


@dataclass(frozen=True)
class Answer:
    """One completion; the fields of `"format": "full"`."""

    text: str
    stop_reason: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str = ""
    type: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "stop_reason": self.stop_reason,
            "usage": dict(self.usage),
            "model": self.model,
            "type": self.type,
        }


def generate(
    service: Service,
    prompt: str,
    type: str | None = None,  # noqa: A002 - the field's name
    max_tokens: int | None = None,
    adapter: str | None = None,
) -> Answer:
    """One answer, of the model or of one of its adapters.

    Raises:
        Trouble: refused, unknown, not ready within the patience, or an answer that is none of ours.
    """
    if service.engine == "vllm":
        return _of_vllm(service, openai.request(adapter or service.model, prompt, type, max_tokens, service.types()))
    body: dict[str, Any] = {"prompt": prompt, "format": "full"}
    if type is not None:
        body["type"] = type
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if adapter is not None:
        body["adapter"] = adapter
    reply = _patiently(service, contract.ROUTE_GENERATE, json.dumps(body).encode())
    content = reply.json()
    if reply.status != 200 or not isinstance(content, dict) or not isinstance(content.get("text"), str):
        raise refusal(service, reply)
    words = {key: content.get(key, "") for key in ("stop_reason", "model", "type")}
    return Answer(content["text"], usage=content.get("usage", {}), **words)


def _of_vllm(service: Service, asked: openai.Request) -> Answer:
    reply = _patiently(service, asked.route, json.dumps(asked.body).encode())
    found = openai.fields(reply.json(), asked.type) if reply.status == 200 else None
    if found is None:
        raise refusal(service, reply, asked.route)
    return Answer(**found)


def _patiently(service: Service, route: str, body: bytes) -> Reply:
    """Until an answer that waiting can't change. 429: no instance yet, or a full queue; 503: waking or loading."""
    patience = service.patience
    until, pause = patience.now() + patience.budget, patience.first
    while True:
        headers = {"Content-Type": "application/json", **credentials(service)}
        left = until - patience.now()
        reply = service.wire.send("POST", service.url.rstrip("/") + route, headers, body, max(left, 1.0))
        if reply.status not in (429, 503) or _over_limit(reply):
            return reply
        if death := service.death():
            raise death
        wait = max(pause, _retry_after(reply))
        if patience.now() + wait > until:
            return reply
        service.tell(waiting(reply))
        patience.sleep(wait)
        pause = min(pause * 1.5, patience.longest)


def credentials(service: Service, *, keyless: bool = False) -> dict[str, str]:
    """Headers that say who asks. `keyless`: without the API key, to see that it is asked for."""
    headers = {"User-Agent": "gemmactl"}
    key = "" if service.key is None or keyless else _sendable(service.key())
    if token := service.token():
        # source: Cloud Run's page on service-to-service calls: this header is for services that read Authorization themselves
        headers["Authorization" if service.key is None else "X-Serverless-Authorization"] = f"Bearer {token}"
    if key:
        headers[contract.KEY_HEADER] = key
    return headers


def _sendable(key: str) -> str:
    """The key, if a header can hold it. What refuses it further down names it, and a refusal must not."""
    if key.isascii() and key.isprintable():
        return key
    raise usage(
        "the API key can't be sent",
        why="it has a line break or a character beyond ASCII, which no key of gemmactl's has",
        remedy="set GEMMACTL_API_KEY to the key alone, as `gemmactl keys create` showed it",
        code="api-key-illegal",
    )


def waiting(reply: Reply) -> str:
    """What is being waited for, in few words."""
    content = reply.json()
    inner = content.get("error", content) if isinstance(content, dict) else {}
    stage = inner.get("stage") if isinstance(inner, dict) else None
    if reply.status == 429:
        return "all places are taken; waiting for one"
    if stage:
        done, total = inner.get("bytes_done"), inner.get("bytes_total")
        size = (
            f" ({done / 1e6:.0f} of {total / 1e6:.0f} MB)" if isinstance(done, int) and isinstance(total, int) and total else ""
        )
        return f"the service wakes up: {stage}{size}"
    return "the service wakes up"


def _over_limit(reply: Reply) -> bool:
    """Waiting would help, but a key that is over its limit is refused for what it asked, not for what the service is."""
    content = reply.json()
    inner = content.get("error") if isinstance(content, dict) else None
    return isinstance(inner, dict) and inner.get("code") == RequestCode.RATE_LIMIT_EXCEEDED


def _retry_after(reply: Reply) -> float:
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 0.0


def refusal(service: Service, reply: Reply, route: str = contract.ROUTE_GENERATE) -> Trouble:
    """The Trouble of an answer that is no completion. The prompt is never part of it."""
    content = reply.json()
    inner = content.get("error") if isinstance(content, dict) else None
    said = str(inner.get("message", "")) if isinstance(inner, dict) else " ".join(reply.text()[:300].split())
    code = str(inner.get("code", "")) if isinstance(inner, dict) else ""
    facts = {"status": reply.status, "url": service.url, "service": service.name, "said": said, "refused": code}
    match reply.status:
        case 401 if code in (RequestCode.API_KEY_MISSING, RequestCode.INVALID_API_KEY):
            return _no_key(service, said, facts)
        case 429 if code == RequestCode.RATE_LIMIT_EXCEEDED:
            return Trouble(
                f"{service.name} refuses for now: the key is over its limit",
                why=said,
                remedy="wait a minute, or ask for a key with a higher --rpm",
                code="key-limit",
                facts=facts,
            )
        case 401 | 403:
            return _not_allowed(service, reply.status, facts)
        case 404 if service.inside:
            return Trouble(
                f"{service.name} is not reached from here",
                why="its ingress lets in what comes from inside of Google's network alone; Cloud Run answers everybody else 404",
                remedy="call it from its VPC or through its load balancer, or deploy it again with --ingress all",
                code="service-inside",
                facts=facts,
            )
        case 404:
            return Trouble(
                f"{service.name} has no {route} at {service.url}",
                why=said
                if service.engine == "vllm" and said
                else "another image serves there, or the address is not its own any more",
                remedy=f"gemmactl status {service.name} shows its image and address",
                code="service-not-ours",
                facts=facts,
            )
        case 400 | 413 | 422:
            types = inner.get("types") if isinstance(inner, dict) else None
            adapters = inner.get("adapters") if isinstance(inner, dict) else None
            remedy = f"choose --type {', '.join(map(str, types))}" if types else openai.advice(said)
            if isinstance(adapters, list):
                known = ", ".join(map(str, adapters))
                remedy = f"choose --adapter {known}" if known else "deploy it again with --adapter NAME=PLACE"
            trouble = usage(f"{service.name} refuses the request", why=said, remedy=remedy, code="request-refused")
            trouble.facts.update(facts, **({"types": types} if isinstance(types, list) else {}))
            return trouble
        case 429 | 503:
            return Trouble(
                f"{service.name} did not become ready within {service.patience.budget:.0f} s",
                why=f"its last word: {waiting(reply)}; {said}" if said else f"its last word: {waiting(reply)}",
                remedy=f"gemmactl doctor {service.name} says what keeps it; gemmactl logs {service.name} shows its log",
                code="service-not-ready",
                facts=facts,
            )
        case _:
            return Trouble(
                f"{service.name} answered {reply.status} and no completion",
                why=said or "the body is empty",
                remedy=f"gemmactl logs {service.name} --severity ERROR shows what it wrote meanwhile",
                code="service-failed",
                facts=facts,
            )


def _no_key(service: Service, said: str, facts: Mapping[str, Any]) -> Trouble:
    return Trouble(
        f"{service.name} asks for an API key that it knows",
        why=said,
        remedy=f"set GEMMACTL_API_KEY; who may change the service makes a key: gemmactl keys create {service.name}",
        code="api-key-refused",
        facts=facts,
    )


def _not_allowed(service: Service, status: int, facts: Mapping[str, Any]) -> Trouble:
    who = service.caller or "the caller"
    if status == 401:
        why, remedy = f"{who} sent no ID token that it accepts", "log in again: gcloud auth application-default login"
    else:
        why = f"{who} lacks roles/run.invoker on the service {service.name}"
        grant = f"gcloud run services add-iam-policy-binding {service.name} --member={who} --role=roles/run.invoker"
        remedy = f"an owner of the service grants it: {grant}"
    more = {"permission": "run.routes.invoke", "principal": service.caller, "denied": True} if status == 403 else {}
    return Trouble(
        f"{service.name} does not let {who} in ({status})", why=why, remedy=remedy, code="not-invoker", facts={**facts, **more}
    )
