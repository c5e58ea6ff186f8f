"""The proof of a revision before it serves, and what a deploy says about its end. Knows neither resources nor the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gemmactl.client.generate import Answer, Patience, Service
from gemmactl.errors import Exit, Trouble, usage
from gemmactl.kernel.apply import Outcome
from gemmactl.kernel.resource import Work
from gemmactl.resources import service_traffic
from gemmactl.resources.service_rollout import Rollout
from gemmactl.resources.service_state import state, stopped
from gemmactl.result import Block, Facts, Item, Line, Result
from gemmactl.serving import ask, evidence, find, guarding, lending, opening
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.spec import Serve
from gemmactl.voice import Voice
from inference_image.contract import RequestCode

FRESH = 60.0
"""Seconds in which a tag's address, made a moment ago, may still be unknown (404)."""
UNREACHED = "not tried: its ingress keeps requests from here out; Cloud Run's probe saw it ready"
UNCHANGED = "not made: nothing was changed, and a prompt wakes a GPU where none is awake"
KEYLESS = "not made: it asks for API keys, and GEMMACTL_API_KEY is not set"
TRACEBACK = "Traceback (most recent call last)"
SHOWN, TAIL = 40, 12
"""Lines of a container's own words on the screen: of a traceback, and of anything else."""


@dataclass(frozen=True)
class Way:
    """How a deploy ends, as its flags say."""

    share: int = 100
    """Percent of the requests for the new revision: --canary, 0 with --no-traffic."""
    wait: bool = True
    """False with --async."""
    again: str = "the same command"
    """The command line that joins what is under way."""
    opens: str = "the same command without --no-traffic"
    """The command line that opens what --no-traffic left closed."""


def way(canary: int | None, *, no_traffic: bool, wait: bool, again: str, opens: str = "") -> Way:
    """The flags of deploy as one Way.

    Raises:
        Trouble: (usage) they contradict each other.
    """
    if no_traffic and canary is not None:
        raise usage(
            "--canary and --no-traffic are both given",
            why="one gives the new revision a share of the requests, the other none",
            remedy="keep one of them",
            code="flags-contradict",
        )
    return Way(0 if no_traffic else canary or 100, wait, again, opens or Way.opens)


def limits(wish: Serve, live: Json | None, way: Way) -> tuple[str, ...]:
    """What --canary or --no-traffic does otherwise than it sounds, for the plan and for the outcome."""
    said = []
    if way.share < 100 and (live is None or service_traffic.begins(live) or not service_traffic.shares(live)):
        flag = f"--canary {way.share}" if way.share else "--no-traffic"
        said.append(f"{flag}: the first revision that answers has all requests; there is no other one to keep them")
    if opening.left_shut(wish, live, way.share):
        said.append(f"--no-traffic: the service stays closed, not opened as --auth {wish.auth} asks; {way.opens} opens it")
    return tuple(said)


def require_room(name: str, flag: str) -> None:
    """Where a share of the requests is asked for: it is held by a tag.

    Raises:
        Trouble: (usage) the service's name leaves no room for one.
    """
    if service_traffic.taggable(name):
        return
    most = service_traffic.LONGEST - len(service_traffic.NEXT)
    raise usage(
        f"{flag} can't be had with the name {name}",
        why=f"it is held by the tag {service_traffic.NEXT}, and tag and name share {service_traffic.LONGEST} characters",
        remedy=f"leave {flag} out: a new revision has all requests at once; or take a --name of at most {most} characters",
        code="tag-without-room",
    )


class Prover:
    """One prompt to the revision that is to serve next, at an address that nobody else knows."""

    def __init__(self, place: Place, voice: Voice) -> None:
        self._place, self._voice = place, voice
        self.answer: Answer | None = None

    def rollout(self, way: Way) -> Rollout:
        return Rollout(way.share, way.wait, self, lambda opened: guarding.admit(self._place, opened))

    def __call__(self, live: Json, work: Work) -> None:
        """Raises Trouble (gate) when no answer comes."""
        if not find.outside(live):
            return work.progress(UNREACHED)
        work.progress("trying one prompt")
        patience = Patience(now=work.clock.now, sleep=lambda seconds: work.wait(seconds, leavable=True))
        service = ask.reach(self._place, live, self._voice, patience)
        if set(service_traffic.shares(live)) != {state(live).ready_revision}:
            service = replace(service, url=service_traffic.address(live, service_traffic.NEXT) or service.url)
        service = replace(service, tell=work.progress)
        if service.key is None:
            with ask.no_vain_patience(self._place, live):
                self.answer = _asked(service, work)
            return None
        with ask.no_vain_patience(self._place, live), lending.lent(self._place, live) as key:
            self.answer = _asked(replace(service, key=lambda: key), work)
        return None

    def smoke(self, live: Json, *, changed: bool = True) -> tuple[Service, Answer | None, str]:
        """The service as callers reach it, its answer (the one that there is, or a new one), and that in words.

        `changed` False: nothing was done, so nothing is asked that could wake a GPU.
        """
        service = ask.reach(self._place, live, self._voice)
        if self.answer is None and not find.outside(live):
            return service, None, UNREACHED
        if self.answer is None and stopped(live):
            return service, None, f"not made: it is stopped; gemmactl start {find.short(live)} {self._place.flags}"
        if self.answer is None and not changed:
            return service, None, UNCHANGED
        if self.answer is None and service.key is not None and not self._place.api_key:
            return service, None, KEYLESS
        if self.answer is None:
            self._voice.say(Line("trying one prompt: it wakes an instance where none is awake", "dim"))
            self.answer = ask.smoke(service)
        return service, self.answer, f"one prompt answered with {self.answer.usage.get('completion_tokens', '?')} tokens"


def _asked(service: Service, work: Work) -> Answer:
    began, limits = work.clock.now(), {404: FRESH, RequestCode.INVALID_API_KEY: lending.PATIENCE}
    while True:
        try:
            if service.key is not None:
                lending.require_asked(service)
            return ask.smoke(service)
        except Trouble as trouble:
            why = trouble.facts.get("refused") or trouble.facts.get("status")
            if work.clock.now() - began > limits.get(why, 0.0):
                raise
        work.wait(2.0, leavable=True)


# --- how it ended -----------------------------------------------------------------------------------


def detached(
    verb: str, outcome: Outcome, data: dict[str, Any], place: Place, way: Way, name: str, *, held: bool = True
) -> Result | None:
    """A deploy that nobody waited for any longer: what goes on, and how to join it. None: it was interrupted otherwise.

    `held`: whether a new revision waits for its smoke test, as one of a file may not.
    """
    if not outcome.left:
        return None
    when = "no requests before its smoke test" if held and service_traffic.taggable(name) else "its requests once it is ready"
    trouble = Trouble(
        f"left: {', '.join(outcome.left)} {'goes' if len(outcome.left) == 1 else 'go'} on in the cloud",
        why=f"Ctrl-C; nothing was undone, and a new revision gets {when}",
        remedy=f"{way.again} joins what is under way; gemmactl status {name} {place.flags} shows it",
        code="detached",
        exit=Exit.INTERRUPTED,
    )
    rest = {"left": list(outcome.left), "skipped": list(outcome.skipped), "interrupted": True}
    return Result(verb, {**data, **rest}, (), (way.again,), place.target, Exit.INTERRUPTED, (trouble,))


def accepted(data: dict[str, Any], place: Place, way: Way, name: str) -> Result:
    """--async: Cloud Run has the wish, and nobody has tried the revision yet."""
    live = seen(place, name)
    now = state(live)
    serving = service_traffic.shares(live)
    old = f"{', '.join(serving)} serves on" if serving else "nobody is let in before that"
    told = f"the new revision gets no requests before it, and {old}"
    if serving and not service_traffic.taggable(name):
        told = "the name leaves no room for a tag: the new revision has all requests as soon as it is ready"
    rows = (
        ("service", name),
        ("url", now.uri or "not yet"),
        ("rollout", "under way" if now.reconciling else "over"),
        ("smoke test", f"not made; {told}"),
        *(("note", one) for one in data.get("limits", ())),
    )
    facts = {"url": now.uri, "smoke": None, "reconciling": now.reconciling}
    follow = (f"gemmactl status {name} {place.flags}", way.again)
    return Result("deploy", {**data, **facts}, (Facts(rows),), follow, place.target)


def served(data: dict[str, Any], place: Place, prover: Prover, live: Json, model: str, *, changed: bool = True) -> Result:
    """The end that was wished for. `changed`: whether anything was done for it.

    Raises:
        Trouble: (gate) the service does not answer.
    """
    name = find.short(live)
    service, answer, told = prover.smoke(live, changed=changed)
    asleep = [("note", f"it is stopped and stays so: gemmactl start {name} {place.flags}")] if stopped(live) and answer else []
    waiting = service_traffic.candidate(live)
    limits = [("note", one) for one in data.get("limits", ())]
    rows = [("service", name), ("url", service.url), ("model", model), ("smoke test", told), *asleep, *limits]
    facts: dict[str, Any] = {"url": service.url, "smoke": answer and answer.document(), "traffic": service_traffic.shares(live)}
    first = [f"gemmactl keys create {name} {place.flags}"] if service.key is not None and not place.api_key else []
    ask = f'gemmactl generate "Good morning." --type translation --name {name} {place.flags}'
    follow = [*first, ask, f"gemmactl status {name} {place.flags}"]
    if waiting:
        tried, share = service_traffic.address(live, service_traffic.NEXT), service_traffic.shares(live).get(waiting, 0)
        rows += [("candidate", f"{waiting}, tested, {share} % of the requests"), ("its url", tried)]
        facts |= {"candidate": waiting, "candidate_url": tried}
        follow = [f"gemmactl promote {name} {place.flags}"] + [f"gemmactl rollback {name} {place.flags}"] * bool(share)
    elif pinned := behind(live):
        rows.append(
            ("note", f"requests go to {pinned} by name, not to the newest revision; gemmactl promote {name} changes that")
        )
    return Result("deploy", {**data, **facts}, (Facts(tuple(rows)),), tuple(follow), place.target)


def behind(live: Json) -> str:
    """The revisions that serve although a newer one is ready, as after a rollback, or ``."""
    serving, newest = service_traffic.shares(live), state(live).ready_revision
    return ", ".join(serving) if serving and newest not in serving else ""


def aftermath(
    place: Place, name: str, problems: tuple[Trouble, ...], *, before: Mapping[str, int] | None = None
) -> tuple[Block, ...]:
    """After a failed deploy: the container's own words, and who serves now. Never fails itself.

    `before`: revision -> percent of the requests before it; the way back is told where the new one has them already.
    """
    failed = next((t for t in problems if t.exit is Exit.GATE), None)
    if failed is None:
        return ()
    blocks: list[Block] = []
    live = seen(place, name)
    newest = state(live).created_revision
    revision = str(failed.facts.get("revision") or newest)
    if words := failed.facts.get("logs") or _raised(place, name, revision):
        blocks.append(Item("|", f"what {revision or 'the container'} wrote", _words(words), "dim"))
    serving = service_traffic.shares(live)
    shut = "" if live.get("invokerIamDisabled") else "; it stays closed: only members with roles/run.invoker reach it"
    if serving and newest not in serving:
        blocks.append(Line(f"{', '.join(serving)} serves on; {newest} has no requests", "warn"))
    elif serving and not service_traffic.untested(live):
        spread = ", ".join(f"{one} has {share} %" for one, share in serving.items())
        blocks.append(Line(f"{spread} of the requests, and {newest} did not answer{shut}", "warn"))
        if back := way_back(place, live, before or {}):
            blocks.append(Line(f"back to what served before: {back}", "warn"))
    elif live:
        missing = "passed its smoke test" if service_traffic.untested(live) else "is ready"
        blocks.append(Line(f"service {name} has no revision that {missing}{shut}", "warn"))
    return tuple(blocks)


def way_back(place: Place, live: Json, before: Mapping[str, int]) -> str:
    """The command that gives the requests back to what had them before a deploy that moved them at once; ``: nothing had."""
    newest, name = state(live).created_revision, find.short(live) if live else ""
    old = {one: share for one, share in before.items() if one != newest}
    if not old or service_traffic.shares(live) == before or newest not in service_traffic.shares(live):
        return ""
    if find.is_ours(live):
        return f"gemmactl rollback {name} --to {max(old, key=lambda one: old[one])} {place.flags}"
    spread = ",".join(f"{one}={share}" for one, share in service_traffic.scaled(old, 100).items())
    where = f"--region={place.region.text} --project={place.id}"
    return f"gcloud run services update-traffic {name} --to-revisions={spread} {where}"


def _raised(place: Place, name: str, revision: str) -> list[str]:
    """What a revision that started, and did not answer, wrote since: only where it is an error."""
    parts = (f'resource.labels.revision_name="{revision}"', "severity>=ERROR")
    try:
        found = place.cloud.logs.entries(evidence.query(place, name, *parts), newest=True, limit=SHOWN) if revision else ()
    except Trouble:
        return []
    return [evidence.text_of(entry) for entry in found]


def _words(logs: Sequence[str]) -> tuple[str, ...]:
    """The last traceback with what came after it; where there is none, the last lines."""
    lines = [evidence.clean(line) for text in logs for line in str(text).splitlines() if line.strip()]
    raised = [at for at, line in enumerate(lines) if TRACEBACK in line]
    return tuple(lines[raised[-1] :][:SHOWN] if raised else lines[-TAIL:])


def seen(place: Place, name: str) -> Json:
    """The service as it is, for words about it: empty where it can't be read."""
    try:
        return place.cloud.run.get(find.full_name(place, name)) or {}
    except Trouble:
        return {}
