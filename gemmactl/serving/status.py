"""What a service is and how it does, from the Run API alone. Makes read calls only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from gemmactl import prices, vllm
from gemmactl.costs import Costs, costs
from gemmactl.errors import Trouble, usage
from gemmactl.resources import service_traffic
from gemmactl.resources.service_state import stopped
from gemmactl.result import Block, Facts, Item, Line, Result
from gemmactl.serving import (
    adapting,
    callers,
    cold_start,
    drift,
    find,
    guarding,
    origins,
    pinning,
    plan_screen,
    remains,
    revision_rows,
)
from gemmactl.serving.cold_start import ColdStart
from gemmactl.serving.drift import Drift
from gemmactl.serving.find import Json
from gemmactl.serving.health import Health
from gemmactl.serving.health import health as health_of
from gemmactl.serving.listing import listing
from gemmactl.serving.origins import Setting
from gemmactl.serving.place import Place
from gemmactl.serving.preflight import look
from gemmactl.serving.recall import recalled
from gemmactl.settings import Settings
from gemmactl.voice import Voice
from inference_image.contract import ENV_ADAPTERS, ENV_PIN


def status(place: Place, settings: Settings, name: str | None, voice: Voice, *, wake: bool = False, cost: bool = False) -> Result:
    """Without a name the list of all services; else one: whether it answers, what it runs, what differs from its wish.

    `wake`: ask it even where that starts an instance. `cost`: what it costs asleep, awake, for one wake-up and at most.

    Raises:
        Trouble: there is none of that name, or it can't be read.
    """
    if name is None:
        if wake or cost:
            flag = "--wake" if wake else "--cost"
            raise usage(
                f"{flag} needs a NAME",
                why="it starts a GPU, so it is asked of one service" if wake else "each service has a bill of its own",
                remedy=f"gemmactl status NAME {flag} {place.flags}",
                code="name-missing",
            )
        return listing(place)
    live = find.service(place, settings, name)
    short = find.short(live)
    good, words = find.ready(live)
    seen = _seen(place, settings, live, voice, wake=wake, cost=cost)
    extra = (
        ("invokers", ", ".join(seen.invokers or ())),
        ("health", str(seen.health)),
        ("last start", str(seen.start)),
        *_changed(live),
        ("drift", str(seen.drift)),
    )
    blocks: list[Block] = [place.line(), Facts((*rows(live, good), *(row for row in extra if row[1])))]
    if seen.revisions:
        blocks.append(revision_rows.table(seen.revisions))
    blocks += guarding.told(live, seen.revisions)
    if seen.unlisted:
        blocks.append(Item("?", "its revisions could not be listed", (seen.unlisted,), "warn"))
    blocks.append(origins.table(seen.settings))
    blocks += seen.drift.blocks()
    if cost:
        title = "money on Google Cloud" + " (the sandbox costs nothing)" * (place.target == "sandbox")
        blocks += [Facts(plan_screen.bill(seen.costs), title), Line(prices.sources(), "dim")]
    if not good:
        blocks.append(Item("!", "it does not serve its newest revision", (words,), "bad"))
    follow = [] if good else [f"gemmactl doctor {short} {place.flags}"]
    if seen.drift.steps and seen.drift.against == drift.BY_FILE:
        follow.append(f"gemmactl plan {place.flags}")
    data = {
        **place.document(),
        **document(live, good, words),
        **seen.document(),
        **({"costs": seen.costs.document()} if cost else {}),
    }
    return Result("status", data, tuple(blocks), tuple(follow), place.target)


@dataclass(frozen=True)
class Seen:
    """What takes reads of its own."""

    health: Health
    start: ColdStart | str
    revisions: list[dict[str, Any]]
    unlisted: str
    """Why the revisions could not be listed."""
    drift: Drift
    settings: tuple[Setting, ...]
    costs: Costs
    invokers: tuple[str, ...] | None
    """Who holds roles/run.invoker on it; None: nobody needs it, or that can't be read."""

    def document(self) -> dict[str, Any]:
        start = self.start.document() if isinstance(self.start, ColdStart) else None
        return {
            "health": self.health.document(),
            "last_start": start,
            "revisions": self.revisions,
            "drift": self.drift.document(),
            "settings": [one.document() for one in self.settings],
            "invokers": None if self.invokers is None else list(self.invokers),
        }


def _seen(place: Place, settings: Settings, live: Json, voice: Voice, *, wake: bool, cost: bool) -> Seen:
    """All at once: each waits for the cloud, none for another."""
    name = find.short(live)
    with ThreadPoolExecutor(7) as pool:
        named = pool.submit(callers.invokers, place, live)
        health = pool.submit(health_of, place, live, voice, wake=wake)
        start = pool.submit(cold_start.last, place, name, foreign=vllm.runs(find.container(live)))
        revisions = pool.submit(_revisions, place, live)
        differs = pool.submit(drift.drift, place, settings, live)
        held = pool.submit(remains.images, place) if cost else None
        known = pool.submit(_settings, place, settings, live)
        told, size = known.result()
        last = start.result()
        seconds = last.seconds if isinstance(last, ColdStart) else None
        bill = costs(recalled(place, name, live), size, start=seconds, image=held.result() if held else None)
        return Seen(health.result(), last, *revisions.result(), differs.result(), told, bill, named.result())


def _revisions(place: Place, live: Json) -> tuple[list[dict[str, Any]], str]:
    """Or why they can't be listed: the rest is told all the same."""
    try:
        return revision_rows.documents(live, place.cloud.run.revisions(str(live.get("name", "")))), ""
    except Trouble as trouble:
        return [], trouble.what


def _settings(place: Place, settings: Settings, live: Json) -> tuple[tuple[Setting, ...], int | None]:
    """With the bytes of its model, which says what nobody set; where it can't be looked into, both stay open."""
    wish = recalled(place, find.short(live), live)
    try:
        sized = look(origins.unset(wish, settings), place.cloud, from_hub=place.hub, existing=True, live=live).sizing
    except Trouble:
        return origins.origins(wish, settings, None), None
    return origins.origins(wish, settings, sized.wish), sized.size


def _changed(live: Json) -> tuple[tuple[str, str], ...]:
    """When and by whom it was last changed, and with which program, as Cloud Run remembers it."""
    when, who = str(live.get("updateTime", ""))[:19], str(live.get("lastModifier", ""))
    program = " ".join(str(live[key]) for key in ("client", "clientVersion") if live.get(key))
    said = f"{when}Z" * bool(when) + f" by {who}" * bool(who) + f" with {program}" * bool(program)
    return (("changed", said.strip()),)


def rows(live: Json, good: bool) -> tuple[tuple[str, str], ...]:
    """The facts for people."""
    template, box = live.get("template", {}), find.container(live)
    limits, scaling = box.get("resources", {}).get("limits", {}), template.get("scaling", {})
    gpu = template.get("nodeSelector", {}).get("accelerator", "no GPU")
    count = f"{scaling.get('minInstanceCount', 0)} to {scaling.get('maxInstanceCount', '?')}"
    found = (
        ("service", find.short(live)),
        ("url", str(live.get("uri", "none yet"))),
        ("state", f"stopped; gemmactl start {find.short(live)}" if stopped(live) else "ready" if good else "not ready"),
        ("model", find.model_of(live) or "another image's own"),
        ("weights", pinning.told(live) if find.model_of(live) else ""),
        ("adapters", ", ".join(f"{name}: {model.uri}" for name, model in _adapters(live))),
        ("engine", f"vLLM: OpenAI's routes under /v1; {vllm.LACKS}" if vllm.runs(box) else ""),
        ("image", str(box.get("image", ""))),
        ("size", f"{gpu}, {limits.get('cpu', '?')} CPU, {limits.get('memory', '?')}"),
        ("instances", f"{count}, {template.get('maxInstanceRequestConcurrency', '?')} requests each"),
        *callers.rows(live),
        ("runs as", str(template.get("serviceAccount", "the default account"))),
        ("newest", find.tail(live.get("latestCreatedRevision", ""))),
        ("serving", ", ".join(f"{percent} % {name}" for name, percent in service_traffic.shares(live).items()) or "none"),
    )
    return tuple((key, value) for key, value in found if value)


def document(live: Json, good: bool, words: str) -> dict[str, Any]:
    """The same for machines."""
    return {
        "service": find.short(live),
        "url": live.get("uri", ""),
        "ready": good,
        "stopped": stopped(live),
        "message": words,
        "model": find.model_of(live),
        "pin": pinning.digest(find.variable(live, ENV_PIN)),
        "adapters": {name: model.uri for name, model in _adapters(live)},
        "engine": find.engine_of(live),
        "image": find.container(live).get("image", ""),
        **callers.document(live),
        "latest_created_revision": find.tail(live.get("latestCreatedRevision", "")),
        "latest_ready_revision": find.tail(live.get("latestReadyRevision", "")),
        "updated": live.get("updateTime", ""),
        "last_modifier": live.get("lastModifier", ""),
        "client": live.get("client", ""),
        "service_account": live.get("template", {}).get("serviceAccount", ""),
    }


def _adapters(live: Json) -> adapting.Adapters:
    return adapting.remembered(find.variable(live, ENV_ADAPTERS))
