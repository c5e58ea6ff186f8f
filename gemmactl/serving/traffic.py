"""promote and rollback: requests to the revision that was tested, or back to one that served before. Makes no revision."""

from __future__ import annotations

from typing import Any

from gemmactl.errors import Exit, Trouble, refused, usage
from gemmactl.kernel.resource import Work
from gemmactl.resources import service_traffic
from gemmactl.resources.service import Service
from gemmactl.resources.service_rollout import amend
from gemmactl.resources.service_state import state
from gemmactl.result import Line, Result
from gemmactl.serving import find, guarding, image_back, returning, rollout, steering
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.serving.rollout import Prover
from gemmactl.settings import Settings
from gemmactl.spec import Model, parse_model
from gemmactl.voice import Voice


def promote(place: Place, settings: Settings, name: str | None, voice: Voice, *, percent: int = 100) -> Result:
    """Give the revision that waits for them its requests. One that nobody has tested yet is tested first.

    Raises:
        Trouble: there is no service, another deploy came in between, or (gate) the revision does not answer.
    """
    live = steering.ours(place, settings, name)
    short, before = find.short(live), service_traffic.shares(live)
    chosen = service_traffic.candidate(live) or _untested(live)
    data: dict[str, Any] = {**place.document(), "service": short, "before": before}
    if not chosen:
        said = Line(f"nothing waits: {', '.join(before) or 'no revision'} has all requests of {short}", "good")
        return Result("promote", {**data, "changed": False, "traffic": before}, (said,), target=place.target)
    if percent < 100:
        rollout.require_room(short, "--percent")
    if service_traffic.candidate(live):
        live = steering.change(place, voice, live, lambda now: _given(now, chosen, percent))
    else:
        prover = Prover(place, voice)
        live = steering.step(
            place, voice, live, lambda work: _tested(place, work, live, chosen, percent, prover), limit=Service.limit
        )
    shares = service_traffic.shares(live)
    rows = [("service", short), ("requests", _spread(shares)), ("before", _spread(before))]
    data |= {"changed": True, "traffic": shares, "revision": chosen}
    back = f"gemmactl rollback {short} {place.flags}"
    follow = (back, *((f"gemmactl promote {short} {place.flags}",) if percent < 100 else ()))
    return steering.proven("promote", place, voice, live, rows, data, follow)


def _untested(live: Json) -> str:
    """The newest revision where it has not all requests: not tested yet, or passed over by a rollback. Of a service that begins
    it is the first one that nobody tested.
    """
    now = state(live)
    newest = now.ready_revision
    first = service_traffic.begins(live) and newest == now.created_revision
    return newest if newest and (first or set(service_traffic.shares(live)) != {newest}) else ""


def _given(now: Json, chosen: str, percent: int) -> Json:
    if service_traffic.candidate(now) != chosen:
        raise _moved(now, chosen)
    if percent < 100:
        return {"traffic": service_traffic.split(now, chosen, percent), "annotations": service_traffic.remembered(now)}
    newest = state(now).ready_revision == chosen
    traffic = service_traffic.to_newest(now) if newest else service_traffic.to_revision(now, chosen)
    return {"traffic": traffic, "annotations": service_traffic.remembered(now)}


def _tested(place: Place, work: Work, live: Json, chosen: str, percent: int, prover: Prover) -> Json:
    """Under the tag, at 0 %, until it has answered; then its share. Where the tag has no room it is tested after it."""
    name = str(live["name"])
    if service_traffic.taggable(find.short(live)):
        if not service_traffic.untested(live):
            live = amend(place.cloud, work, name, lambda now: {"traffic": service_traffic.held(now)})
        prover(live, work)

    def given(now: Json) -> Json:
        if state(now).reconciling or state(now).ready_revision != chosen:
            raise _moved(now, chosen)
        share = service_traffic.to_newest(now) if percent == 100 else service_traffic.split(now, chosen, percent)
        return {"traffic": share, "annotations": service_traffic.remembered(now)}

    return amend(place.cloud, work, name, given)


def _moved(now: Json, chosen: str) -> Trouble:
    short = find.short(now)
    return Trouble(
        f"{chosen} does not wait for requests any more",
        why="a deploy or another promote came in between",
        remedy=f"gemmactl status {short} shows who has them now",
        code="overtaken",
    )


# --- back -------------------------------------------------------------------------------------------


def rollback(
    place: Place,
    settings: Settings,
    target: str | None,
    voice: Voice,
    *,
    to: str | None = None,
    weights: str | None = None,
    yes: bool = False,
) -> Result:
    """Give all requests to a revision that served before, at once; then one prompt. Neither settings nor revisions change.

    `target`: the service, or one of its revisions. Default for the revision: the one that served before. Where its weights must
    come from elsewhere, as from the folder `weights`, a new revision like it is made, tested and given the requests.

    Raises:
        Trouble: nothing to go back to, or what it needs is gone.
    """
    copy = parse_model(weights) if weights else None
    if copy is not None and copy.kind != "gs":
        raise usage(
            f"--weights {weights} is no folder of a bucket",
            why="the service reads it at each start",
            remedy="give gs://BUCKET/FOLDER; gemmactl copy brings one there",
            code="weights-place",
        )
    given, to = returning.split(target, to)
    live = steering.ours(place, settings, given)
    short, before = find.short(live), tuple(service_traffic.shares(live))
    known = place.cloud.run.revisions(str(live["name"]))
    choice = returning.choices(live, known)
    chosen = to or returning.before(live, choice)
    if not chosen:
        raise refused(
            f"{short} has no revision to go back to",
            why=f"it has {_several(len(known))}, and none of them served before {', '.join(before) or 'now'}",
            remedy=f"name one: gemmactl rollback {short} --to REVISION {place.flags}; gemmactl status {short} lists them",
            code="rollback-none",
            facts={"revisions": [one.document() for one in choice]},
        )
    revision = returning.ready_one(short, chosen, known, choice)
    try:
        return _back(place, live, chosen, revision, voice, copy=copy, yes=yes)
    except KeyboardInterrupt:
        raise _interrupted(place, short, chosen, weights) from None


def _back(place: Place, live: Json, chosen: str, revision: Json, voice: Voice, *, copy: Model | None, yes: bool) -> Result:
    short, before = find.short(live), service_traffic.shares(live)
    data: dict[str, Any] = {**place.document(), "service": short, "revision": chosen, "before": before}
    if before == {chosen: 100} and copy is None:
        said = Line(f"{chosen} has all requests of {short} already", "good")
        return Result("rollback", {**data, "changed": False, "traffic": before}, (said,), target=place.target)
    guarding.stays(place, live, revision)
    image_back.agreed(place, live, revision, voice, yes=yes)
    made = returning.returnable(place, live, revision, voice, copy=copy, yes=yes)
    if made is None:
        live = steering.change(place, voice, live, lambda now: _returned(place, now, chosen, revision))
    elif service_traffic.untested(made):
        prover, new = Prover(place, voice), state(made).ready_revision
        live = steering.step(place, voice, made, lambda work: _tested(place, work, made, new, 100, prover), limit=Service.limit)
    else:
        live = made
    shares = service_traffic.shares(live)
    rows = [("service", short), ("requests", _spread(shares)), ("before", _spread(before))]
    if made is not None:
        rows.append(("weights", f"as {chosen} had them: {find.model_of(live)}"))
        data["made"] = state(live).ready_revision
    forth, told = _forth(place, live, before)
    rows.append(("note", f"{told}; a deploy with other settings makes one that serves"))
    follow = (f"gemmactl status {short} {place.flags}", *((forth,) if forth else ()))
    return steering.proven("rollback", place, voice, live, rows, {**data, "changed": True, "traffic": shares}, follow)


def _interrupted(place: Place, short: str, chosen: str, weights: str | None) -> Trouble:
    """The requests may have been moved already: the same words without a revision would then go back one further."""
    again = f"gemmactl rollback {short} --to {chosen}{f' --weights {weights}' if weights else ''} {place.flags}"
    return Trouble(
        "interrupted",
        why="Ctrl-C; the requests may be moved already, and what was written goes on in the cloud",
        remedy=f"{again} goes on to {chosen}; gemmactl status {short} {place.flags} shows who has the requests",
        code="interrupted",
        exit=Exit.INTERRUPTED,
    )


def _forth(place: Place, live: Json, before: dict[str, int]) -> tuple[str, str]:
    """The command that undoes a rollback, and that in words. Where it made a revision, promote has no newer one to go to."""
    short, now = find.short(live), service_traffic.shares(live)
    if state(live).ready_revision not in now:
        return f"gemmactl promote {short} {place.flags}", "promote brings the newest revision back"
    left = {name: percent for name, percent in before.items() if name not in now}
    if not left:
        return "", "it is the newest revision"
    name = max(left, key=lambda one: left[one])
    return f"gemmactl rollback {short} --to {name} {place.flags}", f"it is the newest revision; rollback --to {name} goes forward"


def _returned(place: Place, now: Json, chosen: str, revision: Json) -> Json:
    if service_traffic.shares(now) == {chosen: 100}:
        return {}
    guarding.stays(place, now, revision)  # a deploy may have opened it meanwhile
    return {"traffic": service_traffic.to_revision(now, chosen), "annotations": service_traffic.remembered(now)}


def _spread(shares: dict[str, int]) -> str:
    return ", ".join(f"{percent} % {name}" for name, percent in shares.items()) or "none"


def _several(count: int) -> str:
    return f"{count} revision{'s' * (count != 1)}"
