"""Which revisions a rollback may go back to, and what it asks before it moves a request. Moves none itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from gemmactl.errors import refused, usage
from gemmactl.resources import service_traffic
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.voice import Voice

GENERATED: Final = re.compile(r"(.+)-\d{5}-[a-z0-9]{3}")
"""Source: names that Cloud Run gives to revisions, SERVICE-00002-abc."""


@dataclass(frozen=True)
class Choice:
    """One revision. `before`: it served before what serves now, so a rollback goes there by itself."""

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


def returnable(place: Place, live: Json, revision: Json, voice: Voice) -> None:
    """Asked before a rollback moves any request: whether the revision can still start, as its weights may be gone.

    Raises:
        Trouble: (refused) it can't; nothing was changed.
    """
