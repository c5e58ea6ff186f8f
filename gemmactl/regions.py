"""Where Google's regions lie, and how far a region is from where a bucket's bytes are. Knows no GPU and no cloud."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple


class Town(NamedTuple):
    """A region's town: good enough to say which of two is nearer, no data centre's address."""

    name: str
    continent: str
    latitude: float
    longitude: float


_AFRICA, _ASIA, _AUSTRALIA, _EUROPE = "Africa", "Asia", "Australia", "Europe"
_NORTH, _SOUTH = "North America", "South America"

# source: cloud.google.com/storage/docs/locations and .../compute/docs/regions-zones name the towns (2026-11); their coordinates
# are those of any atlas, to a tenth of a degree
TOWNS: Final[Mapping[str, Town]] = {
    "africa-south1": Town("Johannesburg", _AFRICA, -26.2, 28.0),
    "asia-east1": Town("Changhua", _ASIA, 24.1, 120.5),
    "asia-east2": Town("Hong Kong", _ASIA, 22.3, 114.2),
    "asia-northeast1": Town("Tokyo", _ASIA, 35.7, 139.7),
    "asia-northeast2": Town("Osaka", _ASIA, 34.7, 135.5),
    "asia-northeast3": Town("Seoul", _ASIA, 37.6, 127.0),
    "asia-south1": Town("Mumbai", _ASIA, 19.1, 72.9),
    "asia-south2": Town("Delhi", _ASIA, 28.6, 77.2),
    "asia-southeast1": Town("Singapore", _ASIA, 1.4, 103.8),
    "asia-southeast2": Town("Jakarta", _ASIA, -6.2, 106.8),
    "australia-southeast1": Town("Sydney", _AUSTRALIA, -33.9, 151.2),
    "australia-southeast2": Town("Melbourne", _AUSTRALIA, -37.8, 145.0),
    "europe-central2": Town("Warsaw", _EUROPE, 52.2, 21.0),
    "europe-north1": Town("Hamina", _EUROPE, 60.6, 27.2),
    "europe-north2": Town("Stockholm", _EUROPE, 59.3, 18.1),
    "europe-southwest1": Town("Madrid", _EUROPE, 40.4, -3.7),
    "europe-west1": Town("St. Ghislain", _EUROPE, 50.4, 3.8),
    "europe-west2": Town("London", _EUROPE, 51.5, -0.1),
    "europe-west3": Town("Frankfurt", _EUROPE, 50.1, 8.7),
    "europe-west4": Town("Eemshaven", _EUROPE, 53.4, 6.8),
    "europe-west6": Town("Zurich", _EUROPE, 47.4, 8.5),
    "europe-west8": Town("Milan", _EUROPE, 45.5, 9.2),
    "europe-west9": Town("Paris", _EUROPE, 48.9, 2.4),
    "europe-west10": Town("Berlin", _EUROPE, 52.5, 13.4),
    "europe-west12": Town("Turin", _EUROPE, 45.1, 7.7),
    "me-central1": Town("Doha", _ASIA, 25.3, 51.5),
    "me-central2": Town("Dammam", _ASIA, 26.4, 50.1),
    "me-west1": Town("Tel Aviv", _ASIA, 32.1, 34.8),
    "northamerica-northeast1": Town("Montreal", _NORTH, 45.5, -73.6),
    "northamerica-northeast2": Town("Toronto", _NORTH, 43.7, -79.4),
    "northamerica-south1": Town("Queretaro", _NORTH, 20.6, -100.4),
    "southamerica-east1": Town("Sao Paulo", _SOUTH, -23.5, -46.8),
    "southamerica-west1": Town("Santiago", _SOUTH, -33.4, -70.7),
    "us-central1": Town("Council Bluffs", _NORTH, 41.3, -95.9),
    "us-east1": Town("Moncks Corner", _NORTH, 33.2, -80.0),
    "us-east4": Town("Ashburn", _NORTH, 39.0, -77.5),
    "us-east5": Town("Columbus", _NORTH, 40.0, -83.0),
    "us-south1": Town("Dallas", _NORTH, 32.8, -96.8),
    "us-west1": Town("The Dalles", _NORTH, 45.6, -121.2),
    "us-west2": Town("Los Angeles", _NORTH, 34.1, -118.2),
    "us-west3": Town("Salt Lake City", _NORTH, 40.8, -111.9),
    "us-west4": Town("Las Vegas", _NORTH, 36.2, -115.1),
}

# source: cloud.google.com/storage/docs/locations (2026-11): multi-regions, and the predefined dual-regions with their two
MULTI: Final[Mapping[str, tuple[str, str]]] = {"us": ("us-", _NORTH), "eu": ("europe-", _EUROPE), "asia": ("asia-", _ASIA)}
"""Location -> beginning of its regions' names, and its continent."""
_OUTSIDE_EU: Final = frozenset({"europe-west2", "europe-west6"})
DUAL: Final[Mapping[str, tuple[str, str]]] = {
    "nam4": ("us-central1", "us-east1"),
    "eur4": ("europe-north1", "europe-west4"),
    "eur5": ("europe-west1", "europe-west2"),
    "eur7": ("europe-west2", "europe-west3"),
    "eur8": ("europe-west3", "europe-west6"),
    "asia1": ("asia-northeast1", "asia-northeast2"),
}


class Nearness(IntEnum):
    """From near to far; reading within a continent, and even more across, is slower and is billed."""

    SAME = 0
    INSIDE = 1
    CONTINENT = 2
    ABROAD = 3
    UNKNOWN = 4


@dataclass(frozen=True)
class Distance:
    """How far a region is from a location; `km` between towns, None where a location is no town."""

    nearness: Nearness
    text: str
    km: int | None = None


def known(region: str) -> bool:
    """Whether it is a region that has a town here, or at least a continent by its name."""
    return _continent(region) != ""


def distance(region: str, location: str, pair: tuple[str, ...] = ()) -> Distance:
    """From a region to a bucket's location (`us-central1`, `us`, `nam4`).

    `pair`: the two regions of a configurable dual-region, whose location is only their continent.
    """
    where = location.lower()
    both = tuple(r.lower() for r in pair) or DUAL.get(where, ())
    if region == where:
        return Distance(Nearness.SAME, "same region", 0)
    if region in both:
        return Distance(Nearness.INSIDE, "in its dual-region", 0)
    if not both and where in MULTI:
        begins, continent = MULTI[where]
        if region.startswith(begins) and not (where == "eu" and region in _OUTSIDE_EU):
            return Distance(Nearness.INSIDE, f"inside {where.upper()}")
        return _by_continent(region, continent, None)
    targets = both or (where,)
    km = min((d for r in targets if (d := _km(region, r)) is not None), default=None)
    return _by_continent(region, _continent(targets[0]), km)


def _by_continent(region: str, continent: str, km: int | None) -> Distance:
    if not continent or not _continent(region):
        return Distance(Nearness.UNKNOWN, "unknown")
    if _continent(region) == continent:
        return Distance(Nearness.CONTINENT, "same continent", km)
    return Distance(Nearness.ABROAD, "other continent", km)


def _continent(region: str) -> str:
    """By its town, else by the beginning of its name: Google opens regions faster than this table grows."""
    if region in TOWNS:
        return TOWNS[region].continent
    same = (town.continent for name, town in TOWNS.items() if name.partition("-")[0] == region.partition("-")[0])
    return next(same, "") if "-" in region else ""


def _km(one: str, other: str) -> int | None:
    """Great circle between two towns, to 10 km."""
    if one not in TOWNS or other not in TOWNS:
        return None
    a, b = TOWNS[one], TOWNS[other]
    north, south = math.radians(a.latitude), math.radians(b.latitude)
    half = math.sin((south - north) / 2) ** 2
    half += math.cos(north) * math.cos(south) * math.sin(math.radians(b.longitude - a.longitude) / 2) ** 2
    return 10 * round(637.1 * 2 * math.asin(math.sqrt(half)))
