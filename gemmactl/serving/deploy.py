"""plan and deploy: look at the model, plan, ask, apply, wait, try one prompt. The stack knows what a deploy is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from gemmactl import stack
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.kernel.apply import Outcome, apply
from gemmactl.kernel.plan import Plan
from gemmactl.resources import service_traffic
from gemmactl.resources.cloud import Json
from gemmactl.resources.service_rollout import Rollout
from gemmactl.result import Line, Result
from gemmactl.serving import (
    ahead,
    asked_before,
    find,
    guarding,
    hands,
    opening,
    plan_file,
    plan_screen,
    pretended,
    rollout,
    waiting,
)
from gemmactl.serving.explain import located
from gemmactl.serving.given_image import by_digest, official
from gemmactl.serving.grounding import Grounded, survey
from gemmactl.serving.one_look import one_look
from gemmactl.serving.place import Place
from gemmactl.serving.plan_file import Approved, Keep
from gemmactl.serving.preflight import Seen, look, require_room
from gemmactl.serving.recall import live_service, remembering
from gemmactl.serving.rollout import Prover, Way
from gemmactl.spec import Serve
from gemmactl.voice import Voice


def plan(
    wish: Serve,
    place: Place,
    *,
    again: str,
    voice: Voice | None = None,
    detailed: bool = False,
    explain: bool = False,
    out: Keep | None = None,
) -> Result:
    """What deploy would do; read calls only. `again`: the command line that does it; `explain`: with the arithmetic.

    `out`: the file that keeps the plan for a deploy of exactly this.
    """
    seen, ground, _ = _look(wish, place, voice)
    planned = ground.plan
    changes = bool(planned.work)
    stuck = planned.blocked or planned.unseen
    code = Exit.REFUSED if stuck else Exit.PENDING if detailed and changes else Exit.OK
    follow = (again,) if changes and not stuck else ()
    data = {
        **_data(wish, place),
        **plan_screen.document(seen, planned),
        "model_findings": [r.document() for r in seen.remarks],
        "checks": ground.document(),
    }
    screen = plan_screen.blocks(seen, planned, place, explain=explain, ground=ground.blocks(explain=explain))
    screen = (*screen, *opening.words(seen.wish, planned))
    if out is not None and (stuck or ground.refusing or seen.waits):
        why = f"the model is unknown until {seen.waits} is enabled" if seen.waits else "it can't be applied as it is"
        screen = (*screen, Line(f"no plan was written: {why}", "warn"))
    elif out is not None:
        plan_file.save(out, wish, place, planned)
        screen, follow = (*screen, Line(f"the plan is in {out.path}", "good")), (out.next,) if changes else ()
        data["plan_file"] = str(out.path)
    if ground.refusing:
        return ground.refusal("plan", data, place, *screen)
    return Result("plan", data, screen, follow, place.target, code)


def deploy(
    wish: Serve,
    place: Place,
    voice: Voice,
    *,
    yes: bool,
    way: Way | None = None,
    approved: Approved | None = None,
    enabled: bool = False,
) -> Result:
    """Close the gap between the wish and the project; a new revision is proven before it serves.

    `approved`: a plan that was kept: exactly this is done, or nothing. `enabled`: its APIs are, a moment ago: nothing waits.

    Raises:
        Trouble: refused before any change, or a gate that failed after it.
    """
    way, prover = way or Way(), Prover(place, voice)
    if way.share < 100:
        rollout.require_room(wish.name, "--canary" if way.share else "--no-traffic")
    given = wish
    seen, ground, live = _look(wish, place, voice, prover.rollout(way), wait=not enabled)
    if approved is not None:
        approved.hold(ground.plan)
        voice.say(Line(approved.words, "dim"))
    wish, planned, before = seen.wish, ground.plan, service_traffic.shares(live or {})
    limits = rollout.limits(wish, live, way)
    notes = (*(Line(one, "warn") for one in limits), *pretended.words(pretended.of(wish), place))
    voice.show(*plan_screen.blocks(seen, planned, place, ground=ground.blocks()), *opening.words(wish, planned), *notes)
    if ground.refusing:
        data = {**_data(wish, place), **plan_screen.document(seen, planned), "checks": ground.document()}
        return ground.refusal("deploy", data, place)
    if (
        planned.work
        and not (planned.blocked or planned.unseen)
        and not yes
        and not voice.confirm(waiting.QUESTION if seen.waits else "Apply this plan?", flag="--yes")
    ):
        raise Trouble(
            "nothing was changed",
            why="the plan was not confirmed",
            remedy="run it again when the plan is right",
            code="not-confirmed",
        )
    if seen.waits:
        done = {**_data(wish, place), **plan_screen.document(seen, planned)}
        return waiting.onward(
            planned,
            place,
            voice,
            lambda outcome: unfinished("deploy", outcome, {**done, "done": list(outcome.done)}, place, service=wish.name),
            lambda: deploy(given, place, voice, yes=yes, way=way, enabled=True),
        )
    if not (planned.blocked or planned.unseen):
        opening.agreed(wish, planned, voice, yes=yes)
    outcome = apply(planned, place.cloud, events=voice.events)
    data = {**_data(wish, place), **plan_screen.document(seen, planned), "done": list(outcome.done), "limits": list(limits)}
    if left := rollout.detached("deploy", outcome, data, place, way, wish.name):
        return left
    if not outcome.ok:
        ended = unfinished("deploy", outcome, data, place, service=wish.name, bucket=wish.model.bucket)
        words = rollout.aftermath(place, wish.name, ended.problems, before=before)
        return replace(ended, blocks=(*words, *ended.blocks), data={**ended.data, **_address(place, wish.name)})
    if not way.wait:
        return rollout.accepted(data, place, way, wish.name)
    if outcome.done or live is None:
        live = place.cloud.run.get(find.full_name(place, wish.name)) or {}
    # a name without room for a tag is not held back until it answered: nothing but another prompt tells that it did
    changed = bool(outcome.done) or not service_traffic.taggable(wish.name)
    return _proven(wish, place, prover, data, live, before, changed=changed)


def unfinished(verb: str, outcome: Outcome, data: dict[str, Any], place: Place, *, again: str = "", **where: str) -> Result:
    """The Result of an apply that did not come to its end. `again`: the command line that goes on, where it is known."""
    problems = [located(trouble, place, **where) for trouble in outcome.failed.values()]
    if outcome.interrupted:
        problems.append(
            Trouble(
                f"interrupted: {len(outcome.done)} done, {len(outcome.skipped)} not started or left",
                why="Ctrl-C; an operation that was under way goes on in the cloud",
                remedy=f"{again or 'run the same command again'}: it re-attaches and makes only what is missing",
                code="interrupted",
                exit=Exit.INTERRUPTED,
            )
        )
    code = Exit.INTERRUPTED if outcome.interrupted else problems[0].exit
    rest = {"failed": sorted(outcome.failed), "skipped": list(outcome.skipped), "interrupted": outcome.interrupted}
    lines = (Line(f"{len(outcome.done)} done, {len(outcome.failed)} failed, {len(outcome.skipped)} not started", "warn"),)
    follow = (again or "the same command again goes on from here",) if again or not outcome.interrupted else ()
    if code is Exit.REFUSED:  # by what could be seen only then: the same command would end there again
        follow = ()
    return Result(verb, {**data, **rest}, lines, follow, place.target, code, tuple(problems))


def _look(
    wish: Serve, place: Place, voice: Voice | None, how: Rollout | None = None, *, wait: bool = True
) -> tuple[Seen, Grounded, Json | None]:
    """The first half of both verbs: the model is looked into before anything is planned, then the ground with the plan.

    The service, which the rest needs to know, is read together with all that a plan is known to read.
    """
    reads = one_look(place.cloud)
    file = place.kept and asked_before.path(place.kept, place.target, place.id, place.region.text, wish.name, wish.model.uri)
    with ThreadPoolExecutor(4) as pool:
        local = pool.submit(ahead.folder, wish)
        if file:
            pool.submit(asked_before.ask, file, reads)
        pool.submit(ahead.ask, wish, place, reads, local)
        live = live_service(replace(place, cloud=reads), wish.name)
        ahead.ask_of(live or {}, reads, pool)
        wish, of_image = by_digest(hands.numbered(remembering(wish, live), place.cloud), reads)
        try:
            seen = look(wish, reads, from_hub=place.hub, existing=live is not None, live=live, wait=wait, gather=True)
        except Trouble as trouble:
            raise hands.unreadable(trouble, wish, place.project.text) from trouble
        wanted, of_engine = official(seen.wish, place, live)
        seen = replace(seen, sizing=replace(seen.sizing, wish=wanted), unseen=(*seen.unseen, *of_image, *of_engine))
        if voice and wish.model.kind == "dir" and seen.report and (size := seen.report.weights.size) >= ahead.LONG:
            voice.say(Line(f"reading {size / 1e9:.1f} GB of {seen.report.place}: its checksums name what is uploaded", "dim"))
        made = stack.serving(seen.wish, rollout=how, local=local.result())
        share = how.share if how else 100
        if opening.left_shut(seen.wish, live, share):
            made = opening.shut(made)
        ground = survey(
            made,
            place,
            bucket=wish.model.bucket,
            live=live is not None,
            look=reads,
            # a model that waits itself is sized anew with all else
            again=None if seen.waits else lambda cloud: require_room(seen.wish, cloud, existing=live is not None),
        )
    if file:
        asked_before.keep(file, reads)
    _no_stranger(ground.plan, place)
    hands.require_given(seen.wish, ground.plan, place.cloud)
    # also where --no-traffic leaves it closed: what opens it then would open it for the old revision
    seen = replace(seen, unseen=(*seen.unseen, *guarding.hold(seen.wish, place, live, share, ground.plan)))
    return seen, waiting.alone(ground, seen, place) if seen.waits else ground, live


def _no_stranger(planned: Plan, place: Place) -> None:
    """A service of that name that somebody else made is not taken over, and so not destroyed later on."""
    for step in planned.steps:
        if step.resource.kind == "service" and step.live is not None and not step.resource.ours(place.cloud, step.live):
            short = step.address.rpartition("/")[2]
            raise refused(
                f"there is a service {short} already, and gemmactl did not make it",
                why="it does not carry gemmactl's label; a deploy would replace what it serves",
                remedy=f"choose another --name, or hand it over: gcloud run services update {short}"
                f" --update-labels=managed-by=gemmactl --region={place.region.text} --project={place.id}",
                code="service-not-ours",
            )


def _proven(
    wish: Serve, place: Place, prover: Prover, data: dict[str, Any], live: Json, before: dict[str, int], *, changed: bool
) -> Result:
    try:
        return rollout.served(data, place, prover, live, wish.model.uri, changed=changed)
    except Trouble as trouble:
        trouble = located(trouble, place, **find.about(live))
        # a revision that had its requests before it was tried: the name leaves no room for a tag
        words = rollout.aftermath(place, wish.name, (trouble,), before=before)
        said = (*words, Line(f"service {wish.name} at {live.get('uri', '')}"))
        follow = tuple(filter(None, (rollout.way_back(place, live, before),)))
        return Result("deploy", {**data, **_address(place, wish.name)}, said, follow, place.target, trouble.exit, (trouble,))


def _address(place: Place, name: str) -> dict[str, str]:
    """The service's URL for the document, where there is one already."""
    url = rollout.seen(place, name).get("uri")
    return {"url": str(url)} if url else {}


def _data(wish: Serve, place: Place) -> dict[str, Any]:
    return {"service": wish.name, "model": wish.model.uri, **place.document()}
