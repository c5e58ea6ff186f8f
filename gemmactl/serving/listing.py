"""Our services of a project, region by region, and the screen that lists them. Makes read calls only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from gemmactl.errors import Trouble
from gemmactl.limits import GPUS
from gemmactl.resources.service_state import stopped
from gemmactl.result import Block, Item, Line, Result, Table
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place


@dataclass(frozen=True)
class Everywhere:
    """Our services by region. `closed`: regions that this project can't look into, and why; they hold none of ours."""

    services: dict[str, tuple[Json, ...]]
    closed: dict[str, str]


def everywhere(place: Place) -> Everywhere:
    """In the place's own region, and in every one that has GPUs: one read for each, all at once.

    Raises:
        Trouble: the place's own region can't be read, or another one for a reason that is not its own.
    """
    regions = sorted({place.region.text, *(region for gpu in GPUS.values() for region in gpu.regions)})
    with ThreadPoolExecutor(len(regions)) as pool:
        found = dict(zip(regions, pool.map(lambda region: _ours(place, region), regions), strict=True))
    closed = {region: one for region, one in found.items() if isinstance(one, str)}
    return Everywhere({region: one for region, one in found.items() if not isinstance(one, str)}, closed)


def listing(place: Place) -> Result:
    """The services of ours; with --region only those of that region."""
    if place.region.origin == "--region":
        found = Everywhere({place.region.text: tuple(s for s in place.cloud.run.list(place.region.text) if find.is_ours(s))}, {})
    else:
        found = everywhere(place)
    rows = [(region, live) for region, services in found.services.items() for live in services]
    rows.sort(key=lambda row: (find.short(row[1]), row[0]))
    data = {**place.document(), "services": [document(region, live) for region, live in rows], "not_read": found.closed}
    blocks: list[Block] = [place.line()]
    if rows:
        blocks.append(Table(("NAME", "REGION", "STATE", "TRAFFIC", "URL", "MODEL"), tuple(_row(*row) for row in rows)))
    else:
        blocks.append(Line(f"gemmactl has no service in {_where(found)}"))
    blocks += [Item("?", f"{region} could not be looked into", (why,), "warn") for region, why in found.closed.items()]
    # a flag for the project alone: the name's own region is in the table
    project = f"--project {place.project.text}"
    follow = [f"gemmactl status {find.short(live)} {project} --region {region}" for region, live in rows[:1]]
    return Result("status", data, tuple(blocks), tuple(follow or (f"gemmactl deploy MODEL {project}",)), place.target)


def document(region: str, live: Json) -> dict[str, Any]:
    """One row for machines."""
    good, words = find.ready(live)
    return {
        "service": find.short(live),
        "region": region,
        "ready": good,
        "stopped": stopped(live),
        "message": words,
        "model": find.model_of(live),
        "engine": find.engine_of(live),
        "traffic": [{"revision": one, "percent": share, "tag": tag} for one, share, tag in traffic(live)],
        "url": live.get("uri", ""),
    }


def traffic(live: Json) -> tuple[tuple[str, int, str], ...]:
    """(revision, percent, tag) as Cloud Run has it now; what is only wished while it has nothing yet."""
    newest = find.tail(live.get("latestReadyRevision", "")) or "newest"
    targets = live.get("trafficStatuses") or live.get("traffic") or ()
    return tuple((str(t.get("revision") or newest), int(t.get("percent", 0)), str(t.get("tag", ""))) for t in targets)


def _row(region: str, live: Json) -> tuple[str, ...]:
    good, _ = find.ready(live)
    split = " + ".join(f"{share} %" for _, share, _ in traffic(live) if share) or "none"
    return (
        find.short(live),
        region,
        "stopped" if stopped(live) else "ready" if good else "not ready",
        split,
        str(live.get("uri", "")) or "-",
        find.model_of(live) or "-",
    )


def _where(found: Everywhere) -> str:
    regions = sorted(found.services)
    return regions[0] if len(regions) == 1 else f"any of {len(regions)} regions: {', '.join(regions)}"


def _ours(place: Place, region: str) -> tuple[Json, ...] | str:
    """Our services of a region, or why it can't be looked into."""
    try:
        return tuple(live for live in place.cloud.run.list(region) if find.is_ours(live))
    except Trouble as trouble:
        if region == place.region.text or trouble.facts.get("status") not in (403, 404):
            raise
        return trouble.what
