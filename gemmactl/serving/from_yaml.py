"""plan and deploy of a service's own YAML: read, look, plan, ask, apply, try one prompt where it is known how. Knows no field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gemmactl.costs import costs
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Plan
from gemmactl.kernel.resource import Resource
from gemmactl.knative.read import Read
from gemmactl.resources import apis, service_body, service_traffic
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import Json
from gemmactl.resources.mark import marked
from gemmactl.resources.service import Service
from gemmactl.resources.service_rollout import Rollout
from gemmactl.result import Block, Facts, Item, Line, Result
from gemmactl.serving import find, opening, plan_screen, plan_time, pretended, rollout, show, yaml_checks, yaml_file
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.explain import located
from gemmactl.serving.grounding import Grounded, survey
from gemmactl.serving.modernise import Change, Modernised, modernise
from gemmactl.serving.place import Place
from gemmactl.serving.recall import live_service
from gemmactl.serving.rollout import Prover, Way
from gemmactl.serving.yaml_checks import Remark
from gemmactl.settings import Settings, Value
from gemmactl.voice import Voice

NEEDED: Final = ("run.googleapis.com",)
BESIDE: Final = ("iam.googleapis.com", "storage.googleapis.com")
"""For the account that --modernise makes and its bindings."""


@dataclass(frozen=True)
class Sheet:
    """A file after a look at the cloud: what it asks for, and what should be known."""

    found: Read
    stack: tuple[Resource, ...]
    remarks: tuple[Remark, ...]
    changes: tuple[Change, ...] = ()
    """What --modernise did to it."""
    live: Json | None = None
    """The service before it."""

    @property
    def service(self) -> Service:
        return next(r for r in self.stack if isinstance(r, Service))

    @property
    def held(self) -> bool:
        """Whether a new revision has no requests before it answered a prompt: not where the file deals them out itself."""
        return answers(self.service) and self.service.traffic is None and service_traffic.taggable(self.service.name)

    @property
    def before(self) -> dict[str, int]:
        """Revision -> percent of the requests before the file was applied."""
        return service_traffic.shares(self.live or {})

    def document(self) -> dict[str, Any]:
        return {
            "service": self.service.name,
            "file": self.found.file,
            "notes": list(self.found.notes),
            "remarks": [remark.document() for remark in self.remarks],
            "modernised": [change.document() for change in self.changes],
        }

    def blocks(self) -> tuple[Block, ...]:
        remarks = tuple(Item("?", r.what, (r.remedy,) if r.remedy else (), "warn") for r in self.remarks)
        changes = tuple(Item("~", f"{c.field}: {c.was} -> {c.now}", (c.why,)) for c in self.changes)
        said = f"as {self.found.file} says" + f", with {len(changes)} changes of --modernise" * bool(changes)
        return (Line(f"service {self.service.name} · {said}"), *changes, *remarks)


def plan(found: Read, place: Place, *, again: str, detailed: bool = False, modern: bool = False) -> Result:
    """What deploying the file would change; read calls only. `again`: the command line that does it."""
    sheet, ground = look(found, place, modern=modern)
    planned, stuck = ground.plan, _stuck(ground.plan)
    code = Exit.REFUSED if stuck else Exit.PENDING if detailed and planned.work else Exit.OK
    data = _data(sheet, ground, place)
    screen = _screen(sheet, ground, place)
    if ground.refusing:
        return ground.refusal("plan", data, place, *screen)
    return Result("plan", data, screen, (again,) if planned.work and not stuck else (), place.target, code)


def deploy(
    found: Read, place: Place, voice: Voice, *, yes: bool, modern: bool = False, again: str = "the same command"
) -> Result:
    """Make the service what the file says. `again`: the command line that does it.

    Where its container is known to answer prompts it is opened, and a new revision gets its requests, after it answered one.

    Raises:
        Trouble: refused before any change, or not confirmed.
    """
    prover = Prover(place, voice)
    sheet, ground = look(found, place, modern=modern, rollout=prover.rollout(Way()))
    planned = ground.plan
    images = tuple(box.image for box in sheet.service.containers or ())
    if place.target == "sandbox" and not (_runs_here(sheet.service) or pretended.stands_in(images, place)):
        raise refused(
            "the sandbox can't run this image",
            why="it starts gemmactl's own server on this machine, and what stands in for vLLM; it pulls no other image",
            remedy="deploy it to a real project; `gemmactl plan --from-yaml` works here too",
            code="engine-not-in-sandbox",
        )
    voice.show(*_screen(sheet, ground, place), *pretended.words(images, place))
    data = _data(sheet, ground, place)
    if ground.refusing:
        return ground.refusal("deploy", data, place)
    if planned.work and not _stuck(planned) and not yes and not voice.confirm("Apply this plan?", flag="--yes"):
        raise Trouble(
            "nothing was changed",
            why="the plan was not confirmed",
            remedy="run it again when the plan is right",
            code="not-confirmed",
        )
    opening.agreed(opening.of_file(sheet.service), planned, voice, yes=yes)
    outcome = apply(planned, place.cloud, events=voice.events)
    data["done"] = list(outcome.done)
    if left := rollout.detached("deploy", outcome, data, place, Way(again=again), sheet.service.name, held=sheet.held):
        return left
    if not outcome.ok:
        ended = unfinished("deploy", outcome, data, place, again=again, service=sheet.service.name)
        words = rollout.aftermath(place, sheet.service.name, ended.problems, before=sheet.before)
        return replace(ended, blocks=(*words, *ended.blocks))
    return _prove(sheet, place, prover, data)


def _screen(sheet: Sheet, ground: Grounded, place: Place) -> tuple[Block, ...]:
    planned = ground.plan
    # what the container loads is not known, so neither is its start; what is stored is not the file's either
    money = plan_screen.time_and_money(planned, costs(opening.of_file(sheet.service), None), None, place)
    return (place.line(), *sheet.blocks(), *ground.blocks(), *show.blocks(planned), *money, *_open(sheet, planned))


def _data(sheet: Sheet, ground: Grounded, place: Place) -> dict[str, Any]:
    planned, found = ground.plan, costs(opening.of_file(sheet.service), None)
    bill = {"time": plan_time.document(plan_time.phases(planned, None)), "costs": found.document()}
    return {**sheet.document(), **place.document(), **show.document(planned), **bill, "checks": ground.document()}


def _open(sheet: Sheet, planned: Plan) -> tuple[Line, ...]:
    said = opening.words(opening.of_file(sheet.service), planned, f"invoker-iam-disabled in {sheet.found.file}")
    if said and not answers(sheet.service):
        return (*said, Line("it is open at once, untried: gemmactl does not know what this container answers", "warn"))
    return said


def _stuck(planned: Plan) -> bool:
    """Whether a step can't be done, or not be looked at: the kernel starts no such plan, and says why."""
    return bool(planned.blocked or planned.unseen)


def _runs_here(service: Service) -> bool:
    """Whether the sandbox can start it: gemmactl's own server, which is told where its model is."""
    return answers(service) and find.engine_of(_template(service)) == "gemmactl"


def answers(service: Service) -> bool:
    """Whether its container is known to answer prompts: it is told where its model is, as gemmactl tells it."""
    return bool(find.model_of(_template(service)))


def _template(service: Service) -> Json:
    return {"template": {"containers": [service_body.container_json(box) for box in service.containers or ()]}}


def look(found: Read, place: Place, *, modern: bool = False, rollout: Rollout | None = None) -> tuple[Sheet, Grounded]:
    """The file against the cloud; read calls only. `rollout`: how it is tried, where it is known to answer prompts.

    Raises:
        Trouble: a rule is broken, or it names what is not there.
    """
    yaml_file.agree(found, place.id, place.cloud.number() if found.namespace.isdigit() else "")
    service = replace(found.service, project=place.id, region=place.region.text, after=(apis.ADDRESS,))
    made = modernise(service) if modern else Modernised(service)
    service = replace(made.service, rollout=rollout if answers(made.service) else None)
    yaml_checks.rules(service, found.file, place)
    remarks = yaml_checks.remarks(service, place)
    live = live_service(place, service.name)
    if live is not None and not marked(live.get("labels", {})):
        said = f"service {service.name} is there already, and gemmactl did not make it: the file is laid over what it is now"
        remarks = (*remarks, Remark("service-there", said, "the plan below shows every field that changes"))
    needed = (*NEEDED, *BESIDE) if made.beside else NEEDED
    stack: tuple[Resource, ...] = (Apis(needed), *made.beside, service)
    return Sheet(found, stack, remarks, tuple(made.changes), live), survey(stack, place, live=live is not None)


def _prove(sheet: Sheet, place: Place, prover: Prover, data: Mapping[str, Any]) -> Result:
    """One prompt where the container is known to answer prompts; elsewhere Cloud Run's own word is all that can be had."""
    name = sheet.service.name
    live = place.cloud.run.get(find.full_name(place, name)) or {}
    url = str(live.get("uri", ""))
    rows = [("service", name), ("url", url)]
    follow = (f"gemmactl status {name} {place.flags}",)
    if not find.model_of(live):
        rows.append(("smoke test", "none: gemmactl does not know what this container answers; Cloud Run calls it ready"))
        return Result("deploy", {**data, "url": url, "smoke": None}, (Facts(tuple(rows)),), follow, place.target)
    try:
        # what was not held back until it answered is asked every time: nothing remembers that it did
        _, answer, told = prover.smoke(live, changed=bool(data["done"]) or not sheet.held)
    except Trouble as trouble:
        trouble = located(trouble, place, **find.about(live))
        words = rollout.aftermath(place, name, (trouble,), before=sheet.before)
        said = (*words, Line(f"service {name} at {url}"))
        back = rollout.way_back(place, live, sheet.before)
        return Result("deploy", {**data, "url": url}, said, (back,) if back else (), place.target, trouble.exit, (trouble,))
    rows.append(("smoke test", told))
    smoke = answer and answer.document()
    return Result("deploy", {**data, "url": url, "smoke": smoke}, (Facts(tuple(rows)),), follow, place.target)


def opened(
    path: Path, environ: Mapping[str, str], voice: Voice, settings: Settings, project: str | None, region: str | None
) -> tuple[Read, tuple[Value, Value]]:
    """The file, with what was repaired in it said at once, and the project and region that it and the flags name.

    Raises:
        Trouble: (usage) the file can't be read, or contradicts a flag.
    """
    found = yaml_file.open_file(path, environ)
    for note in found.notes:
        voice.say(Line(f"{found.file}: {note}", "dim"))
    return found, yaml_file.whereabouts(found, settings, project, region)
