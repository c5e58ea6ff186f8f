"""Which GPU regions have room for one instance: limits, use, distance and price -> offers, judged and ranked. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from gemmactl.limits import GPUS, Gpu
from gemmactl.prices import Price, per_hour
from gemmactl.regions import Distance, Nearness, distance
from gemmactl.resources import quota
from gemmactl.resources.cloud import QuotaLimit
from gemmactl.resources.quota import Use
from gemmactl.spec_rules import gib

GIB: Final = 2**30


class Room(IntEnum):
    """Whether one more instance fits; the greater the worse."""

    FREE = 0
    """Also when every service there scales up as far as it may."""
    SHARED = 1
    """As long as the services there do not scale up. A deployment is checked alone, not with its neighbours' maxima: published
    projects run six services with maxima of 11 GPUs on a quota of 3, and wait when more than 3 are awake (2026-07)."""
    UNKNOWN = 2
    NONE = 3


@dataclass(frozen=True)
class Size:
    """One instance, with one GPU."""

    cpu: float
    memory_gib: float

    def __str__(self) -> str:
        return f"{self.cpu:g} CPU, {self.memory_gib:g} GiB"


def default_size(gpu: Gpu) -> Size:
    """What deploy takes when nobody says otherwise."""
    return Size(gpu.default_cpu, gib(gpu.default_memory))


@dataclass(frozen=True)
class Share:
    """One quota in one region. `limit` None: not told; `use` None: the services there could not be listed."""

    what: str
    need: float
    limit: float | None
    use: Use | None
    unit: float = 1.0

    @property
    def left(self) -> float | None:
        """What is free even when every service scales up as far as it may."""
        return None if self.limit is None or self.use is None else max(0.0, self.limit - self.use.claimed)

    @property
    def room(self) -> Room:
        if self.limit is not None and self.limit < self.need:
            return Room.NONE
        if self.limit is None or self.use is None:
            return Room.UNKNOWN
        if self.limit - self.use.held < self.need:
            return Room.NONE
        return Room.FREE if self.limit - self.use.claimed >= self.need else Room.SHARED

    @property
    def why(self) -> str:
        """What is in the way, or ``."""
        who = ", ".join(self.use.names) if self.use else ""
        if self.room is Room.NONE and not self.limit:
            return f"no {self.what} quota"
        if self.room is Room.NONE:
            kept = f", {self._show(self.use.held)} kept by {who}" if self.use and self.use.held else ""
            return f"{self.what}: needs {self._show(self.need)}, the limit is {self._show(self.limit or 0)}{kept}"
        if self.room is Room.SHARED and self.use:
            return f"{self.what}: {who} may take {self._show(self.use.claimed)} of {self._show(self.limit or 0)}"
        if self.room is Room.UNKNOWN:
            return f"{self.what}: {'limit' if self.limit is None else 'running services'} unknown"
        return ""

    def _show(self, value: float) -> str:
        return f"{value / self.unit:g}{' GiB' if self.unit == GIB else ''}"


@dataclass(frozen=True)
class Offer:
    """One GPU in one region."""

    gpu: Gpu
    region: str
    size: Size
    gpus: Share
    redundant: Share
    """GPUs with zonal redundancy: told, not needed."""
    cpu: Share
    memory: Share
    price: Price
    distance: Distance | None
    """From the bucket; None: no bucket is meant, or nobody may know where it is."""

    @property
    def needed(self) -> tuple[Share, ...]:
        return (self.gpus, self.cpu, self.memory)

    @property
    def invited(self) -> bool:
        return self.region in self.gpu.invited

    @property
    def room(self) -> Room:
        return max(share.room for share in self.needed)

    @property
    def why(self) -> tuple[str, ...]:
        """What is in the way of this verdict, the worst alone."""
        return tuple(share.why for share in self.needed if share.room is self.room and share.why)

    @property
    def instances(self) -> int | None:
        """How many of this size fit beside all that runs; None: unknown, or no limit."""
        fits = [share.left / share.need for share in self.needed if share.left is not None]
        return None if len(fits) < len(self.needed) or math.isinf(min(fits)) else int(min(fits))


@dataclass(frozen=True)
class Known:
    """What was read: limits (None: not readable) and, by region, the use of each quota (absent: not listable)."""

    limits: tuple[QuotaLimit, ...] | None
    uses: Mapping[str, Mapping[str, Use]]
    location: str = ""
    pair: tuple[str, ...] = ()
    """The bucket's, or ``."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for: sizes by GPU (else deploy's own), only some GPUs, a region that comes first."""

    sizes: Mapping[str, Size] = field(default_factory=dict)
    gpus: tuple[str, ...] = tuple(GPUS)
    first: str = ""
    near: str = ""
    """Where no bucket decides: nearest to this region."""


def offers(known: Known, wanted: Wanted) -> tuple[Offer, ...]:
    """Every GPU in every region that has it, best first."""
    limits = {(limit.id, limit.region): limit.value for limit in known.limits or ()}

    def share(what: str, name: str, region: str, need: float, unit: float = 1.0) -> Share:
        use = known.uses.get(region)
        return Share(what, need, limits.get((name, region)), None if use is None else use.get(name, Use()), unit)

    found = []
    for gpu in (GPUS[name] for name in wanted.gpus):
        size = wanted.sizes.get(gpu.name) or default_size(gpu)
        alone, redundant = quota.GPU[gpu.name]
        for region in gpu.regions:
            far = distance(region, known.location, known.pair) if known.location else None
            offer = Offer(
                gpu,
                region,
                size,
                share("GPU", alone, region, 1),
                share("GPU with zonal redundancy", redundant, region, 1),
                share("CPU", quota.CPU, region, size.cpu),
                share("memory", quota.MEMORY, region, size.memory_gib * GIB, GIB),
                per_hour(gpu.name, size.cpu, size.memory_gib, region),
                far,
            )
            found.append(offer)
    return ranked(found, wanted)


def ranked(found: Iterable[Offer], wanted: Wanted) -> tuple[Offer, ...]:
    """Room first; then the region that is asked for, where the bucket is, what is nearest to it, what costs least."""

    def key(offer: Offer) -> tuple[object, ...]:
        far = offer.distance or (distance(offer.region, wanted.near) if wanted.near else Distance(Nearness.UNKNOWN, ""))
        km = math.inf if far.km is None else far.km
        usd = math.inf if offer.price.usd is None else offer.price.usd
        dearer = offer.price.certainty.value == "at-least"
        return (offer.room, offer.invited, offer.region != wanted.first, far.nearness, km, usd, dearer, offer.region)

    return tuple(sorted(found, key=key))
