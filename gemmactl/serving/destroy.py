"""Remove a serving stack: the same stack backwards, as far as it is ours. The stack knows what belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gemmactl import stack
from gemmactl.errors import Trouble, usage
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Op, Plan, make_teardown
from gemmactl.result import Item, Line, Result
from gemmactl.serving import adapting, find, show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.listing import everywhere
from gemmactl.serving.place import Place
from gemmactl.serving.recall import recalled
from gemmactl.settings import Settings, Value
from gemmactl.spec import Serve, parse_model
from gemmactl.voice import Voice


def destroy(
    place: Place,
    settings: Settings,
    name: str | None,
    voice: Voice,
    *,
    model: str | None = None,
    adapters: Sequence[str] = (),
    yes: bool = False,
) -> Result:
    """Show what goes and what stays, ask, and remove it. `model`, `adapters`: of a deploy that never made its service.

    Raises:
        Trouble: nothing says what belongs to it, or nobody confirmed.
    """
    wish = _wish(place, settings, name, model, adapters)
    others = shared(place, wish)
    plan = make_teardown(stack.serving(wish, teardown=True), place.cloud, keep=others)
    data = {"service": wish.name, **place.document(), **show.document(plan)}
    if not plan.work:
        return Result(
            "destroy", data, (Line(f"nothing of {wish.name} is left to remove", "good"), *kept(plan)), target=place.target
        )
    voice.show(place.line(), *show.blocks(plan))
    if not yes and not voice.confirm(f"Remove {plan.count(Op.DELETE)} things of {wish.name}?", flag="--yes"):
        raise Trouble(
            "nothing was removed", why="the plan was not confirmed", remedy="run it again when you are sure", code="not-confirmed"
        )
    outcome = apply(plan, place.cloud, events=voice.events)
    data["done"] = list(outcome.done)
    if not outcome.ok:
        return unfinished("destroy", outcome, data, place, service=wish.name)
    said = Line(f"removed {len(outcome.done)} things of {wish.name}", "good")
    # what other services use was in the plan a moment ago; what nobody uses and stays is worth a second line
    return Result("destroy", data, (said, *(kept(plan) if not others else ())), target=place.target)


def kept(plan: Plan) -> tuple[Item, ...]:
    """What stays, and why."""
    return tuple(Item("=", f"kept {s.address}", (s.note,), "dim") for s in plan.steps if s.op is Op.RETAIN)


def shared(place: Place, wish: Serve) -> dict[str, str]:
    """Addresses that another service of ours also stands on: in this region, or in another one for what is project-wide."""
    mine = {resource.address for resource in stack.serving(wish, teardown=True)}
    keep: dict[str, str] = {}
    for region, services in everywhere(place).services.items():
        there = replace(place, region=Value(region, "where it is"))
        for live in services:
            name = find.short(live)
            if (region, name) == (place.region.text, wish.name):
                continue
            theirs = {resource.address for resource in stack.serving(recalled(there, name, live), teardown=True)}
            where = "" if region == place.region.text else f" in {region}"
            keep |= dict.fromkeys(mine & theirs, f"service {name}{where} uses it")
    return keep


def _wish(place: Place, settings: Settings, name: str | None, model: str | None, adapters: Sequence[str]) -> Serve:
    short = find.name_of(place, settings, name)
    live = place.cloud.run.get(find.full_name(place, short))
    if live is not None:
        if not find.is_ours(live):
            raise usage(
                f"{short} was not made by gemmactl",
                why="it does not carry gemmactl's label",
                remedy=f"gcloud run services delete {short} removes it",
                code="not-ours",
            )
        return recalled(place, short, live)
    said = model or (value.text if (value := settings.value("model")) else "")
    if not said:
        raise Trouble(
            f"there is no service {short}",
            why=f"none in project {place.project.text}, region {place.region.text}; an unfinished deploy is found by its model",
            remedy=f"gemmactl destroy {short} --model MODEL {place.flags}",
            code="service-missing",
        )
    known = adapting.wanted(settings, {"adapter": adapters}, {})
    return Serve(place.id, place.region.text, parse_model(said), short, adapters=known)
