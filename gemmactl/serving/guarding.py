"""That no revision which asks for no API keys is opened together with one that does. Moves no request and opens nothing.

A service is open at every address that reaches a revision: its own, which leads to whatever has requests, and each tag's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.kernel.plan import Plan
from gemmactl.resources import service_traffic
from gemmactl.resources.service import REVISION, Service
from gemmactl.resources.service_body import LATEST
from gemmactl.resources.service_state import state
from gemmactl.result import Item
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.spec import Serve
from inference_image.contract import ENV_KEYS

_SAME: Final = "tested"
"""The one wish about the newest revision that asks for no other one."""


@dataclass(frozen=True)
class Reached:
    """A revision that requests can come to: by its share of the service's own address, or at the address of a tag."""

    revision: str
    percent: int = 0
    tag: str = ""


def hold(wish: Serve, place: Place, live: Json | None, share: int, planned: Plan) -> tuple[ModelFinding, ...]:
    """Refuse to open a service to holders of keys while a revision that asks for none can be reached at it.

    `share`: percent of the requests that the new revision will get. Of one that is open already it is said, not refused: it
    gets no wider open.

    Raises:
        Trouble: (refused) one would be.
    """
    if live is None or wish.auth != "api-key":
        return ()
    fresh = _makes(planned)
    whole = share == 100 and (fresh or service_traffic.untested(live))
    found = [_trouble(one, place, live, share) for one in _bare(place, live, _left(live, fresh=fresh, whole=whole))]
    if found and not live.get("invokerIamDisabled"):
        raise found[0]
    return tuple(ModelFinding("revision-unguarded", "warning", wish.name, t.what, t.why, t.remedy) for t in found)


def admit(place: Place, opened: Json) -> None:
    """Asked right before the write that opens a service: `opened` is how it will be. Somebody else may have moved requests.

    Raises:
        Trouble: (gate) a revision that asks for no keys would be opened with one that does.
    """
    if not find.variable(opened, ENV_KEYS):
        return
    for one in _bare(place, opened, _left(opened, fresh=False, whole=False)):
        trouble = _trouble(one, place, opened, 100)
        trouble.exit = Exit.GATE
        raise trouble


def stays(place: Place, live: Json, revision: Json) -> None:
    """Refuse to send requests of an open service that asks for keys to a revision that asks for none.

    Raises:
        Trouble: (refused) it would be open to everybody.
    """
    name = find.tail(revision.get("name", ""))
    if live.get("invokerIamDisabled") and find.auth_of(live) == "api-key" and name not in asking((revision,)):
        close = f"gcloud run services update {find.short(live)} --invoker-iam-check {_there(place)}"
        why = "the service is open; when that revision was made it was not"
        raise _open_to_all(name, why, f"close it first: {close}")


def told(live: Json, found: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    """What status says of the revisions (`revision_rows`) that everybody can call although their service asks for keys."""
    if not live.get("invokerIamDisabled") or find.auth_of(live) != "api-key":
        return
    for one in found:
        ways = [f"{one['percent']} % of the requests"] * bool(one["percent"]) + [f"the tag {tag}" for tag in one["tags"]]
        if ways and not one["asks_for_keys"]:
            lines = (f"it is reached by {' and '.join(ways)}", "requests go to the newest revision alone with gemmactl promote")
            yield Item("!", f"{one['revision']} asks for no API keys: everybody can call it", lines, "bad")


def asking(revisions: Iterable[Json]) -> set[str]:
    """Short names of those whose container is told of keys."""
    return {
        find.tail(one.get("name", ""))
        for one in revisions
        if any(e.get("name") == ENV_KEYS for box in one.get("containers", ()) for e in box.get("env", ()))
    }


def _makes(planned: Plan) -> bool:
    """Whether the plan makes a revision, or waits for one that is being made."""
    changes = (change for step in planned.work if isinstance(step.resource, Service) for change in step.changes)
    return any(change.effect == REVISION and change.field != _SAME for change in changes)


def _left(live: Json, *, fresh: bool, whole: bool) -> Iterator[Reached]:
    """What is reached when the deploy is over, beside the revision that it makes (`fresh`) or gives all requests (`whole`)."""
    newest = state(live).ready_revision
    for target in (*service_traffic.targets(live), *live.get("trafficStatuses", ())):
        latest = target.get("type") == LATEST or not target.get("revision")
        revision, tag = str(target.get("revision") or newest), str(target.get("tag", ""))
        if percent := 0 if whole else int(target.get("percent", 0)):
            yield Reached(revision, percent)
        # a tag on whatever is newest moves on to the new revision, and the one that waits gives its tag to it
        if tag and not (fresh and (latest or tag == service_traffic.NEXT)):
            yield Reached(revision, tag=tag)


def _bare(place: Place, live: Json, reached: Iterable[Reached]) -> tuple[Reached, ...]:
    """Those without a guard. Only a revision that is not made by the template that is there has to be looked at."""
    now = state(live)
    own = now.ready_revision if now.ready_revision == now.created_revision and find.variable(live, ENV_KEYS) else ""
    asked = tuple(dict.fromkeys(one for one in reached if one.revision and one.revision != own))
    known = asking(place.cloud.run.revisions(str(live["name"]))) if asked else set()
    return tuple(one for one in asked if one.revision not in known)


def _trouble(one: Reached, place: Place, live: Json, share: int) -> Trouble:
    name = find.short(live)
    if one.tag and one.tag != service_traffic.NEXT:
        remedy = f"gcloud run services update-traffic {name} --remove-tags={one.tag} {_there(place)}"
        return _open_to_all(one.revision, f"the tag {one.tag} has an address of its own, which is open with the service", remedy)
    if share < 100:
        why = "it goes on serving beside the new revision, and the service is open for both"
        return _open_to_all(one.revision, why, "leave out --canary and --no-traffic for this one deploy")
    why = f"it has {one.percent} % of the requests, by its name" if one.percent else "it waits at an address of its own"
    return _open_to_all(one.revision, why, f"give them to the newest revision first: gemmactl promote {name} {place.flags}")


def _there(place: Place) -> str:
    return f"--region={place.region.text} --project={place.id}"


def _open_to_all(revision: str, why: str, remedy: str) -> Trouble:
    return refused(f"{revision} asks for no API keys: everybody could call it", why=why, remedy=remedy, code="revision-unguarded")
