"""Which revision gets which share of the requests, in v2 JSON: held, split, moved. Pure; knows no cloud and decides nothing."""

from __future__ import annotations

from typing import Final

from gemmactl.resources.cloud import Json
from gemmactl.resources.service_body import LATEST, REVISION
from gemmactl.resources.service_state import state

NEXT: Final = "gm-next"
"""Tag of the revision that is to serve next: on `newest` while it waits for its smoke test, on its name once it passed."""
LONGEST: Final = 46
"""Source: the API, `Combined traffic tag and service name cannot exceed 46 characters.`"""
SERVED: Final = "gemmactl/served"
"""Annotation of the service: revisions that got requests before, the last one first. Cloud Run itself remembers none."""
KEPT: Final = 10


def targets(body: Json) -> list[Json]:
    """The service's traffic; the API's default where it says none."""
    return list(body.get("traffic") or [{"type": LATEST, "percent": 100}])


def shares(body: Json) -> dict[str, int]:
    """Revision -> percent of the requests that go there now."""
    newest = state(body).ready_revision
    found: dict[str, int] = {}
    for target in targets(body):
        revision, percent = target.get("revision") or newest, target.get("percent", 0)
        if revision and percent:
            found[revision] = found.get(revision, 0) + percent
    return found


def untested(body: Json) -> bool:
    """Whether the newest revision waits for its smoke test."""
    return any(t.get("tag") == NEXT and not t.get("revision") for t in targets(body))


def begins(body: Json) -> bool:
    """Whether no revision of the service has ever answered: it is as it was made, closed, and its tag is on all requests."""
    share = any(t.get("tag") == NEXT and not t.get("revision") and t.get("percent") for t in targets(body))
    return share and not body.get("invokerIamDisabled")


def candidate(body: Json) -> str:
    """The revision that passed its smoke test and waits for (more) requests, or ``."""
    return next((str(t["revision"]) for t in targets(body) if t.get("tag") == NEXT and t.get("revision")), "")


def address(body: Json, tag: str) -> str:
    """The URL of a tag, or ``."""
    return next((str(s.get("uri", "")) for s in body.get("trafficStatuses", []) if s.get("tag") == tag), "")


def taggable(service: str) -> bool:
    """Whether the name leaves room for the tag."""
    return len(service) + len(NEXT) <= LONGEST


def first() -> list[Json]:
    """Of a service that is made: all to the newest, which waits for its smoke test."""
    return [{"type": LATEST, "percent": 100, "tag": NEXT}]


def held(body: Json) -> list[Json]:
    """What serves now keeps what it has, by name; the newest gets nothing and the tag. Tags of others stay where they are."""
    newest, out = state(body).ready_revision, []
    for target in targets(body):
        percent, tag, revision = target.get("percent", 0), target.get("tag"), target.get("revision")
        if revision and tag != NEXT:
            out.append(dict(target))
            continue
        if percent:
            out.append({"type": REVISION, "revision": revision or newest, "percent": percent})
        if tag and tag != NEXT:
            out.append({"type": LATEST, "tag": tag})
    return [*out, {"type": LATEST, "tag": NEXT}]


def to_newest(body: Json) -> list[Json]:
    """Everything to the newest revision, and to each that comes after it."""
    tags = _tags(body)
    own = next((t for t in tags if t["type"] == LATEST), None)
    return [{**(own or {"type": LATEST}), "percent": 100}, *(t for t in tags if t is not own)]


def to_revision(body: Json, revision: str) -> list[Json]:
    """Everything to one revision by name, whatever comes after it."""
    return [{"type": REVISION, "revision": revision, "percent": 100}, *_tags(body)]


def split(body: Json, revision: str, percent: int) -> list[Json]:
    """`percent` to one revision, which has the tag; the others share the rest as they did."""
    others = {name: share for name, share in shares(body).items() if name != revision}
    if not others:
        return to_newest(body)
    rest = [
        {"type": REVISION, "revision": name, "percent": share} for name, share in scaled(others, 100 - percent).items() if share
    ]
    own = {"type": REVISION, "revision": revision, **({"percent": percent} if percent else {}), "tag": NEXT}
    return [*rest, own, *_tags(body)]


def scaled(parts: dict[str, int], total: int) -> dict[str, int]:
    """Whole numbers in the same proportion that sum to `total`: the largest remainders are rounded up."""
    whole = sum(parts.values())
    exact = {name: part * total / whole for name, part in parts.items()}
    out = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda n: out[n] - exact[n])[: total - sum(out.values())]:
        out[name] += 1
    return out


def served(body: Json) -> tuple[str, ...]:
    """Revisions that got requests before, the last one first."""
    return tuple(str(body.get("annotations", {}).get(SERVED, "")).split())


def remembered(body: Json) -> Json:
    """The service's annotations, with who serves now noted as having served."""
    now = sorted((n for n in shares(body)), key=lambda name: -shares(body)[name])
    names = list(dict.fromkeys((*now, *served(body))))[:KEPT]
    return {**body.get("annotations", {}), **({SERVED: " ".join(names)} if names else {})}


def _tags(body: Json) -> list[Json]:
    """The tags of others, without shares."""
    kept = [t for t in targets(body) if t.get("tag") and t["tag"] != NEXT]
    return [{key: t[key] for key in ("type", "revision", "tag") if key in t} for t in kept]
