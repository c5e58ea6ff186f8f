"""Offers as a screen of 80 columns and as a document. Knows no cloud call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.limits import Gpu
from gemmactl.prices import LIST_DATE, LIST_REGION, Certainty
from gemmactl.resources import quota
from gemmactl.result import Block, Facts, Item, Line, Table, problem
from gemmactl.serving.offers import GIB, Known, Offer, Room, Share
from gemmactl.serving.place import Place
from gemmactl.spec import Model

ASK: Final = "https://g.co/cloudrun/gpu-quota"
"""The link in Cloud Run's own texts."""
CONSOLE: Final = "https://console.cloud.google.com/iam-admin/quotas?project="

_TITLES: Final[Mapping[Room, str]] = {
    Room.FREE: "room for one instance now",
    Room.SHARED: "room as long as the services there do not scale up",
    Room.UNKNOWN: "not known whether there is room",
}


def blocks(
    place: Place,
    model: Model | None,
    known: Known,
    missing: Mapping[str, Trouble],
    found: Sequence[Offer],
    *,
    everything: bool,
) -> tuple[Block, ...]:
    """Only what can be used, or may be; with `everything` also what can't, and why."""
    shown = [offer for offer in found if everything or offer.room < Room.NONE]
    out: list[Block] = [*_head(place, model, known, found)]
    for room, title in _TITLES.items():
        rows = [offer for offer in shown if offer.room is room]
        if rows:
            out += _table(rows, title, told=known.limits is not None)
        if room is Room.SHARED:
            out += [Item("~", f"{offer.region} {short(offer.gpu)}: {'; '.join(offer.why)}") for offer in rows]
    if none := [offer for offer in shown if offer.room is Room.NONE]:
        out += [Line(""), Table(("REGION", "GPU", "WHY"), tuple(_refused(offer) for offer in none), "no room")]
    # missing limits leave nothing that is known to be usable: they are the verb's own problem, told at its end
    unread = [Item("!", f"{name}: unknown", (t.why, t.remedy), "warn") for name, t in missing.items() if name != "quotas"]
    out += [Line(""), *unread] if unread else []
    notes = _notes(place, shown, len(found) - len(shown), told=known.limits is not None)
    return (*out, Line(""), *(Line(note, "dim") for note in notes))


def short(gpu: Gpu) -> str:
    """`nvidia-rtx-pro-6000` as the narrow column has it: RTX PRO 6000."""
    return gpu.name.removeprefix("nvidia-").replace("-", " ").upper()


def _head(place: Place, model: Model | None, known: Known, found: Sequence[Offer]) -> tuple[Block, ...]:
    sizes = dict.fromkeys(f"{short(offer.gpu)} with {offer.size}" for offer in found)
    rows = [("project", str(place.project)), ("instance", "; ".join(sizes))]
    if model and model.bucket and known.location:
        pair = f": {' and '.join(known.pair)}" if known.pair else ""
        rows.append(("bucket", f"{model.bucket} in {known.location}{pair}"))
    return (Facts(tuple(rows)),)


def _table(rows: Sequence[Offer], title: str, *, told: bool) -> tuple[Block, ...]:
    """Without limits the columns of what is left would hold question marks alone."""
    left = ("GPUS", "CPU", "MEMORY") if told else ()
    columns = ("REGION", "GPU", *left, "PER HOUR", *(("BUCKET",) if rows[0].distance else ()))
    return (Line(""), Table(columns, tuple(_row(offer, told=told) for offer in rows), title))


def _row(offer: Offer, *, told: bool) -> tuple[str, ...]:
    left = (f"{_left(offer.gpus)} + {_left(offer.redundant)}", _left(offer.cpu), _left(offer.memory)) if told else ()
    far = (offer.distance.text,) if offer.distance else ()
    return (_region(offer), short(offer.gpu), *left, str(offer.price), *far)


def _region(offer: Offer) -> str:
    return f"{offer.region}*" if offer.invited else offer.region


def _refused(offer: Offer) -> tuple[str, str, str]:
    return (_region(offer), short(offer.gpu), "; ".join(offer.why))


def _left(share: Share) -> str:
    left = share.left
    if left is None:
        return "?"
    return "any" if math.isinf(left) else f"{left / share.unit:g}{' GiB' if share.unit == GIB else ''}"


def _notes(place: Place, shown: Sequence[Offer], hidden: int, *, told: bool) -> tuple[str, ...]:
    certain = {offer.price.certainty for offer in shown if offer.room < Room.NONE}
    notes = [
        "GPUS: without + with zonal redundancy, left when all services scale up" if certain and told else "",
        f"PER HOUR of an instance's life: list of {LIST_REGION}, {LIST_DATE}" if certain else "",
        "  taken to be the same in the other regions of its price tier" if Certainty.TIER in certain else "",
        "  from: the region's tier is dearer, by how much is not known here" if Certainty.AT_LEAST in certain else "",
        "* Google opens this region on invitation" if any(offer.invited for offer in shown) else "",
        f"{hidden} without room are not shown: --all says why" if hidden else "",
        f"more quota: {ASK}",
        f"all limits: {CONSOLE}{place.id}" if place.target != "sandbox" else "",
    ]
    return tuple(note for note in notes if note)


def document(
    place: Place, model: Model | None, known: Known, missing: Mapping[str, Trouble], found: Sequence[Offer]
) -> dict[str, Any]:
    """Every fact, of the rows that are not shown too."""
    return {
        "identity": place.cloud.caller(),
        "project": place.id,
        "model": model.text if model else None,
        "bucket": {"name": model.bucket, "location": known.location or None, "pair": list(known.pair)}
        if model and model.bucket
        else None,
        "quotas_known": known.limits is not None,
        "unknown": {name: problem(trouble) for name, trouble in missing.items()},
        "ask": {"gpu": ASK, "console": f"{CONSOLE}{place.id}"},
        "offers": [_offer(offer) for offer in found],
    }


def _offer(offer: Offer) -> dict[str, Any]:
    alone, redundant = quota.GPU[offer.gpu.name]
    far = offer.distance
    return {
        "region": offer.region,
        "gpu_type": offer.gpu.name,
        "room": offer.room.name.lower(),
        "why": list(offer.why),
        "on_invitation": offer.invited,
        "instances": offer.instances,
        "cpu": offer.size.cpu,
        "memory_gib": offer.size.memory_gib,
        "usd_per_hour": None if offer.price.usd is None else round(offer.price.usd, 4),
        "price_certainty": offer.price.certainty.value,
        "distance": far and {"nearness": far.nearness.name.lower(), "km": far.km},
        "quotas": {
            alone: _share(offer.gpus),
            redundant: _share(offer.redundant),
            quota.CPU: _share(offer.cpu),
            quota.MEMORY: _share(offer.memory),
        },
    }


def _share(share: Share) -> dict[str, Any]:
    """Whole GPUs, vCPUs or bytes. `limit` null with `unlimited` true: no limit; with false: not told."""
    finite = share.limit is not None and not math.isinf(share.limit)
    left = share.left
    return {
        "need": share.need,
        "limit": share.limit if finite else None,
        "unlimited": share.limit is not None and not finite,
        "held": share.use.held if share.use else None,
        "claimed": share.use.claimed if share.use else None,
        "left": left if left is not None and not math.isinf(left) else None,
        "services": list(share.use.names) if share.use else None,
    }
