"""Which revisions a rollback may go back to, and what must be true before it moves a request. Moves none itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from gemmactl.errors import Trouble, refused, usage
from gemmactl.kernel.resource import Work
from gemmactl.resources import service_traffic
from gemmactl.resources.service import Service
from gemmactl.resources.service_rollout import amend
from gemmactl.result import Item
from gemmactl.serving import find, steering, weights_back, weights_bring, weights_on_hub
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.serving.weights_back import Held, Weights
from gemmactl.spec import Model
from gemmactl.voice import Voice
from inference_image.pin import Pin

GENERATED: Final = re.compile(r"(.+)-\d{5}-[a-z0-9]{3}")
"""Source: names that Cloud Run gives to revisions, SERVICE-00002-abc."""


@dataclass(frozen=True)
class Choice:
    """One revision. `before`: it served before what serves now, so a rollback may go there by itself."""

    name: str
    created: str
    ready: bool
    percent: int
    served: bool
    before: bool

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        said = f"{self.percent} % now" if self.percent else "served before" if self.served else "never served"
        return f"{self.name} ({said if self.ready else 'not ready'}, {self.created[:16]}Z)"


def split(target: str | None, to: str | None) -> tuple[str | None, str | None]:
    """NAME or REVISION as typed, and --to -> service and revision.

    Raises:
        Trouble: (usage) two revisions are named.
    """
    found = GENERATED.fullmatch(target or "")
    if found is None:
        own = GENERATED.fullmatch(to or "")
        return target or (own[1] if own else None), to
    if to is not None:
        raise usage(
            f"{target} and --to {to} are both given",
            why="each names a revision",
            remedy="keep one of them",
            code="flags-contradict",
        )
    return found[1], target


def choices(live: Json, revisions: Sequence[Json]) -> tuple[Choice, ...]:
    """All revisions, the newest first. Those that served are known from gemmactl's own note in the service; without one,
    as after deploys of another tool, each ready one counts.
    """
    now, noted = service_traffic.shares(live), service_traffic.served(live)
    names = [find.tail(one.get("name", "")) for one in revisions]
    candidate = service_traffic.candidate(live)
    stable = {name: share for name, share in now.items() if name != candidate}
    # a canary is what a rollback takes back first: the others are then "before"; else what is older than all that serve
    canary = candidate in now and bool(stable)
    oldest = max((names.index(name) for name in now if name in names), default=-1)
    out = []
    for at, (name, one) in enumerate(zip(names, revisions, strict=True)):
        condition: Json = next((c for c in one.get("conditions", ()) if c.get("type") == "Ready"), {})
        ready = condition.get("state") == "CONDITION_SUCCEEDED"
        served = name in noted or name in now or (not noted and ready)
        back = name == max(stable, key=lambda n: stable[n]) if canary else at > oldest
        out.append(Choice(name, str(one.get("createTime", "")), ready, now.get(name, 0), served, ready and served and back))
    return tuple(out)


def before(live: Json, known: Sequence[Choice]) -> str:
    """Where a rollback goes by itself: of those that served before, the one that did so last; ``: none did."""
    noted = service_traffic.served(live)
    names = [one.name for one in known if one.before]
    return min(names, key=lambda name: noted.index(name) if name in noted else len(noted), default="")


def ready_one(service: str, chosen: str, revisions: Sequence[Json], known: Sequence[Choice]) -> Json:
    """The revision of that name.

    Raises:
        Trouble: (usage) there is none; (refused) it never became ready.
    """
    choice = next((one for one in known if one.name == chosen), None)
    if choice is None:
        raise usage(
            f"{service} has no revision {chosen}",
            why=f"it has {'; '.join(map(str, known)) or 'none at all'}",
            remedy="name one of them",
            code="revision-unknown",
        )
    if not choice.ready:
        raise refused(
            f"{chosen} never became ready",
            why="it would answer no request",
            remedy=f"choose another: {'; '.join(str(one) for one in known if one.ready)}",
            code="revision-not-ready",
        )
    return next(one for one in revisions if find.tail(one.get("name", "")) == chosen)


def returnable(
    place: Place, live: Json, revision: Json, voice: Voice, *, copy: Model | None = None, yes: bool = False
) -> Json | None:
    """Asked before a rollback moves any request: whether the revision can still start, as its weights may be gone.

    What can be brought back is, after a yes. None: the revision starts as it is. Else the live service, whose newest revision is
    the old one with its weights from elsewhere; it has no requests yet. `copy`: a folder that holds the same bytes.

    Raises:
        Trouble: (refused) it can't; nothing was changed.
    """
    cloud, short, name = place.cloud, find.short(live), find.tail(revision.get("name", ""))
    weights = weights_back.look(cloud, revision)
    if weights.lost:
        raise weights_back.lost(weights, cloud)
    commits = weights_on_hub.look(revision, place.hub)
    if weights.pin is None:
        if copy is not None:
            raise _unknown(name, copy)
        for uri in weights_on_hub.unpinned(revision):
            held = f"{'the branch of ' * uri.startswith('hf:')}{uri or 'its image'}"
            voice.say(Item("?", f"{name} is not pinned", (f"it serves what {held} holds now",), "warn"))
        voice.say(*commits)
        return None
    voice.say(*commits)
    away = weights_bring.away(cloud, weights, weights.pin)
    if weights.startable and copy is None and not away:
        return None
    if copy is None and not weights.restorable:
        raise weights_back.gone(weights, f"gemmactl rollback {short} --to {name} {place.flags}")
    if not away and (copy is not None or not weights.in_place):
        weights_bring.movable(revision, weights, weights.pin, copy)
    lines, question = _told(weights, weights.pin, copy, tuple(one for one, _ in away))
    voice.say(Item("~", f"the weights of {name}", lines, "warn"))
    if not yes and not voice.confirm(question, flag="--yes"):
        raise Trouble(
            "nothing was changed", why="it was not confirmed", remedy="run it again when you are sure", code="not-confirmed"
        )
    pin = weights.pin

    def act(work: Work) -> Json:
        nonlocal weights
        if away:
            weights_bring.put_back(cloud, away, work)
            weights = weights_back.look(cloud, revision)
        if copy is None and (weights.startable or weights.in_place):
            weights_bring.restore(cloud, weights, work)
            return live
        weights_bring.movable(revision, weights, pin, copy)
        moved = (
            weights_bring.elsewhere(cloud, weights, pin, copy, revision, work)
            if copy is not None
            else weights_bring.copy(cloud, weights, pin, work)
        )
        return amend(cloud, work, str(live["name"]), lambda now: _next(now, moved.template(revision), short))

    after = steering.step(place, voice, live, act, limit=Service.limit)
    return None if after is live else after


def _unknown(name: str, copy: Model) -> Trouble:
    return refused(
        f"{copy.uri} can't stand for the weights of {name}",
        why="no list of files says what it was deployed with, so none can be compared",
        remedy=f"leave --weights out, or serve that folder: gemmactl deploy {copy.uri}",
        code="weights-unknown",
    )


def _next(now: Json, template: Json, short: str) -> Json:
    """A new revision without requests; where the tag has no room beside the name it serves at once, as after a deploy."""
    held = service_traffic.taggable(short)
    traffic = service_traffic.held(now) if held else service_traffic.to_newest(now)
    return {"template": template, "traffic": traffic}


def _told(weights: Weights, pin: Pin, copy: Model | None, left: tuple[Held, ...]) -> tuple[tuple[str, ...], str]:
    """What will be done, and the question about it. `left`: files that an interrupted copy left at the names of newer ones."""
    away = weights.of("deleted", "gone", "older") + left
    lines = [one.text for one in away[: weights_back.SHOWN]]
    if copy is not None:
        lines.append(f"a new revision reads the same bytes from {copy.uri}, each file of which is compared first")
        return tuple(lines), f"Serve {weights.revision} from {copy.uri}?"
    if weights.in_place and not left:
        return (*lines, "nothing newer has their names: they are restored where they were"), f"Restore {len(away)} files?"
    room = {one.place for one in weights.of("deleted") + left}
    for uri in sorted(room | {one.place for one in weights.of("older")}):
        lines.append(f"copied to {weights_bring.beside(uri, pin)}; a new revision reads that")
        if uri not in room:
            continue
        lines.append(f"newer files of {uri} make room for a moment each, and are restored: do not deploy from it meanwhile")
    return tuple(lines), f"Bring back {len(away)} files as a copy?"
