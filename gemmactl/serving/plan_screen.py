"""What a plan says before somebody says yes: who, where, what, the steps, how long, how much. Pure: knows no screen's width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gemmactl import costs as money
from gemmactl import prices
from gemmactl.checkpoint import arithmetic
from gemmactl.costs import Costs
from gemmactl.kernel.plan import Op, Plan
from gemmactl.resources.repository import Repository
from gemmactl.result import Block, Facts, Item, Line, Table
from gemmactl.serving import plan_time, show
from gemmactl.serving.place import Place
from gemmactl.serving.preflight import Seen


def blocks(
    seen: Seen, planned: Plan, place: Place, *, explain: bool = False, ground: tuple[Block, ...] = ()
) -> tuple[Block, ...]:
    """Who and where; the arithmetic; remarks on the model and the ground; the steps; time and money."""
    shown = (r for r in seen.remarks if explain or r.severity != "note")
    remarks = tuple(Item("?", r.what, (r.remedy,) if r.remedy else (), "warn") for r in shown)
    sums = (Table(("size", "value", "how"), arithmetic.rows(seen.sizing)),) if explain and not seen.waits else ()
    bill = () if seen.waits else _bill(seen, planned, place)
    return (place.line(), Line(_what(seen)), *sums, *remarks, *ground, *show.blocks(planned), *bill)


def document(seen: Seen, planned: Plan) -> dict[str, Any]:
    """The steps, the sizes, time and money for machines. `waits_for`: the API without which nothing but its own step is known."""
    if seen.waits:
        return {**show.document(planned), "waits_for": seen.waits, "sizing": None, "time": None, "costs": None}
    return {
        **show.document(planned),
        "sizing": arithmetic.document(seen.sizing),
        "time": plan_time.document(plan_time.phases(planned, plan_time.start(seen.sizing))),
        "costs": costs(seen, planned).document(),
    }


def costs(seen: Seen, planned: Plan) -> Costs:
    """Of the wish as it was sized; the images by what the repository holds now."""
    found = plan_time.start(seen.sizing)
    held = next((s.live.size for s in planned.steps if isinstance(s.live, Repository)), None)
    unbuilt = any(s.resource.kind == "image" and s.op is not Op.KEEP for s in planned.steps)
    return money.costs(seen.wish, seen.sizing.size, start=found[0] if found else None, image=held, unbuilt=unbuilt)


def _what(seen: Seen) -> str:
    """The service in one line."""
    wish = seen.wish
    if seen.waits:
        return f"service {wish.name} · {seen.text}"
    size = (
        f"{wish.gpu_type}, {wish.cpu} CPU, {wish.memory}, at most {wish.max_instances} instance{'s' * (wish.max_instances != 1)}"
    )
    foreign = wish.engine == "vllm"
    context = wish.context or ("auto" if foreign else "of the container")
    at_once = seen.sizing.fit.at_once if seen.sizing.fit else None
    served = f"{'vLLM, ' * foreign}context {context}, {_requests(wish.concurrency, at_once)}"
    return f"service {wish.name} · {seen.text} · {size} · {served}"


def _requests(taken: int, at_once: int | None) -> str:
    """How many an instance takes, and how many of them are computed where that is fewer."""
    if at_once is not None and at_once < taken:
        return f"{at_once} of {taken} requests at once"
    return f"{taken} request{'s' * (taken != 1)} at once"


def _bill(seen: Seen, planned: Plan, place: Place) -> tuple[Block, ...]:
    return time_and_money(planned, costs(seen, planned), plan_time.start(seen.sizing), place)


def time_and_money(planned: Plan, found: Costs, begin: tuple[float, float] | None, place: Place) -> tuple[Block, ...]:
    """How long an apply takes, what stands then, what it costs, and where the prices are from."""
    free = " (the sandbox takes seconds and costs nothing)" if place.target == "sandbox" else ""
    time = tuple(_time(plan_time.phases(planned, begin))) if planned.work and not planned.blocked else ()
    return (Facts((*time, *bill(found)), f"time and money on Google Cloud{free}"), Line(prices.sources(), "dim"))


def _time(found: tuple[plan_time.Phase, ...]) -> Iterator[tuple[str, str]]:
    yield "time", f"{plan_time.total(found)}{': ' * bool(found)}{'; '.join(map(str, found))}"
    if minutes := sum((p.most or 0.0) / 60 for p in found if p.name == "build"):
        yield "once", f"about {prices.built(minutes)} for the build"


def bill(found: Costs) -> tuple[tuple[str, str], ...]:
    """The rows of money: asleep, awake, one wake-up, at most."""
    return tuple(_bill_rows(found))


def _bill_rows(found: Costs) -> Iterator[tuple[str, str]]:
    never = f"{found.least} instance{'s' * (found.least != 1)} that never sleep{'s' * (found.least == 1)}"
    parts = (
        (never, found.hour * (found.least * prices.MONTH), bool(found.least)),
        ("model", found.model, found.model.usd != 0),
        ("secrets", found.secrets, found.secrets.usd != 0),
        ("image", found.image, found.image.usd != 0),
    )
    per_gb = f"${prices.IMAGE_GB_MONTH:.2f} for each GB of it"
    told = (f"{name} {per_gb if name == 'image' and p.usd is None else p}" for name, p, there in parts if there)
    yield "asleep", f"{found.asleep} a month{': ' * any(there for *_, there in parts)}{', '.join(told)}"
    yield "awake", f"{found.hour} an hour for each instance"
    begin = "a start of unknown length" if found.start is None else f"a start of {plan_time.span(found.start, found.start)}"
    low = "unknown" if found.wake.usd is None else f"at least ${found.wake.usd:.2f}"
    yield "wake-up", f"{low}: {begin}, then {money.IDLE / 60:.0f} min until it sleeps again"
    many = f"{found.most} instance{'s' * (found.most != 1)}"
    stored = "" if found.stored.usd == 0 else f", {found.stored} for what is stored"
    yield "ceiling", f"{found.ceiling} a month: {found.awake_month} for {many} awake all the time{stored}"
