"""Whether a service answers now. Never wakes a GPU unless that is asked for: an instance that sleeps costs nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from gemmactl.client.generate import credentials
from gemmactl.client.wire import Reply
from gemmactl.errors import Trouble
from gemmactl.resources.service_state import stopped
from gemmactl.serving import ask, cold_start, find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.voice import Voice
from inference_image import contract

AWAKE: Final = 30.0
"""Seconds that an instance which is always there may take."""
WAKING: Final = 900.0
"""Seconds for one that is woken: what `generate` waits too."""


@dataclass(frozen=True)
class Health:
    """`asleep or unknown`: nobody asked it; Cloud Run tells the number of instances to Cloud Monitoring alone."""

    state: Literal["healthy", "loading", "unhealthy", "unreachable", "asleep or unknown", "stopped"]
    words: str = ""

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "asked": self.state not in ("asleep or unknown", "stopped")}

    def __str__(self) -> str:
        return f"{self.state}: {self.words}" if self.words else self.state


def health(place: Place, live: Json, voice: Voice, *, wake: bool) -> Health:
    """Ask /health, and /ready of our own server, where an instance is always there or `wake` is wanted."""
    always = int(live.get("template", {}).get("scaling", {}).get("minInstanceCount", 0)) > 0
    if not live.get("uri"):
        return Health("unreachable", "it has no address yet")
    if stopped(live):
        return Health("stopped", "no instance runs, and no request starts one")
    if not find.outside(live):
        return Health("asleep or unknown", "its ingress keeps requests from here out")
    if not (always or wake):
        heard = cold_start.heard(place, find.short(live))
        last = f"; the last line of its log is of {heard}" if heard else ""
        return Health("asleep or unknown", f"it was not asked, which could start a GPU; --wake asks{last}")
    service = ask.reach(place, live, voice)
    limit = AWAKE if always else WAKING

    def get(route: str, **more: str) -> Reply:
        headers = {**credentials(service, keyless=True), **more}
        return service.wire.send("GET", service.url.rstrip("/") + route, headers, None, limit)

    try:
        found = get(contract.ROUTE_HEALTH)
        if found.status != 200 or service.engine == "vllm":
            return _judged(found, contract.ROUTE_HEALTH)
        if service.key is not None:  # /ready asks for a key, /health tells the same to a probe that has none
            return _keyless(get(contract.ROUTE_HEALTH, **{contract.PROBE_HEADER: "ready"}))
        return _ready(get(contract.ROUTE_READY))
    except Trouble as trouble:
        return Health("unreachable", f"{trouble.what} ({trouble.why})" if trouble.why else trouble.what)


def _judged(reply: Reply, route: str) -> Health:
    if reply.status == 200:
        return Health("healthy", f"{route} answers")
    why = {401: ": no identity was accepted", 403: ": this identity may not call it", 429: ": no instance is free"}
    return Health("unhealthy", f"{route} answers {reply.status}{why.get(reply.status, '')}")


def _keyless(reply: Reply) -> Health:
    if reply.status == 503:
        return Health("loading", f"{contract.ROUTE_HEALTH} says that the model is not ready")
    return _judged(reply, contract.ROUTE_HEALTH)


def _ready(reply: Reply) -> Health:
    found = reply.json()
    stage = str(found.get("stage", "")) if isinstance(found, dict) else ""
    if reply.status == 503 and stage:
        return Health("loading", stage)
    if reply.status in (401, 403):  # it asks for a key there, and has shown that it lives
        return Health("healthy", f"{contract.ROUTE_HEALTH} answers; {contract.ROUTE_READY} asks for a key")
    return _judged(reply, contract.ROUTE_READY)
