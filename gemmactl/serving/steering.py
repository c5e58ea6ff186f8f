"""What the verbs that write to a live service share: which one, one step with its progress, the proof after it. Knows no verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gemmactl.errors import Exit, Trouble, refused
from gemmactl.kernel.events import Done, Failed, Started
from gemmactl.kernel.resource import Clock, Work
from gemmactl.resources.service_rollout import amend
from gemmactl.result import Facts, Line, Result
from gemmactl.serving import find
from gemmactl.serving.explain import located
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.serving.rollout import Prover
from gemmactl.settings import Settings
from gemmactl.voice import Voice

LIMIT: Final = 600.0
"""Seconds that a change of traffic or scaling may take."""


def ours(place: Place, settings: Settings, name: str | None) -> Json:
    """The service that is meant, if gemmactl made it.

    Raises:
        Trouble: there is none, or it is somebody else's.
    """
    live = find.service(place, settings, name)
    if find.is_ours(live):
        return live
    short = find.short(live)
    raise refused(
        f"{short} was not made by gemmactl",
        why="it does not carry gemmactl's label",
        remedy=f"gcloud run services update-traffic {short} and gcloud run services update {short} change it",
        code="service-not-ours",
    )


def step(place: Place, voice: Voice, live: Json, act: Callable[[Work], Json], limit: float = LIMIT) -> Json:
    """One change of a service, told while it runs.

    Raises:
        Trouble: it failed; with where it happened.
    """
    clock = Clock()
    address, since = f"service {place.region.text}/{find.short(live)}", clock.now()
    voice.events(Started(address, "update"))
    try:
        after = act(Work(address, voice.events, clock, since + limit))
    except Trouble as trouble:
        voice.events(Failed(address, trouble))
        raise located(trouble, place, **find.about(live)) from None
    voice.events(Done(address, "update", clock.now() - since))
    return after


def change(place: Place, voice: Voice, live: Json, fields: Callable[[Json], Json]) -> Json:
    """Write fields of a service under its etag; the live service after it."""
    return step(place, voice, live, lambda work: amend(place.cloud, work, str(live["name"]), fields))


def proven(
    verb: str, place: Place, voice: Voice, live: Json, rows: list[tuple[str, str]], data: dict[str, Any], follow: tuple[str, ...]
) -> Result:
    """The end of a verb that moved requests: one prompt tells whether the service answers now."""
    try:
        service, answer, told = Prover(place, voice).smoke(live)
    except Trouble as trouble:
        trouble = located(trouble, place, **find.about(live))
        said = (Facts(tuple(rows)), Line("the requests were moved, and the service does not answer", "bad"))
        return Result(verb, {**data, "smoke": None}, said, follow, place.target, Exit.GATE, (trouble,))
    facts = (*rows, ("url", service.url), ("smoke test", told))
    return Result(verb, {**data, "smoke": answer and answer.document()}, (Facts(facts),), follow, place.target)
