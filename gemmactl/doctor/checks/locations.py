"""Whether gcp.resourceLocations allows a region, as far as its value groups can be known here."""

from __future__ import annotations

from typing import Final

from gemmactl import regions
from gemmactl.resources.surroundings import OrgPolicy

# source: Google's page "Restricting resource locations", value groups, November 2026
_CONTINENTS: Final = {
    "in:us-locations": ("us-",),
    "in:northamerica-locations": ("us-", "northamerica-"),
    "in:southamerica-locations": ("southamerica-",),
    "in:europe-locations": ("europe-",),
    "in:eu-locations": ("europe-",),
    "in:asia-locations": ("asia-",),
    "in:australia-locations": ("australia-",),
    "in:africa-locations": ("africa-",),
    "in:me-locations": ("me-",),
}
_NOT_IN_THE_UNION: Final = frozenset({"europe-west2", "europe-west6"})
"""London and Zurich: in Europe, not in `eu-locations`."""
_MULTI: Final = frozenset({"us", "eu", "asia", "global"})


def allows(policy: OrgPolicy, region: str) -> bool | None:
    """True or False for sure; None when a group is not known here."""
    if policy.deny_all:
        return False
    denied = [_holds(value, region) for value in policy.denied]
    if True in denied:
        return False
    allowed = [_holds(value, region) for value in policy.allowed]
    if True in allowed or not policy.allowed:
        return None if None in denied else True
    return None if None in allowed else False


def _holds(value: str, region: str) -> bool | None:
    """Whether a value names the region; None: not to be told."""
    if value in _CONTINENTS:
        inside = region.startswith(_CONTINENTS[value])
        return inside and not (value == "in:eu-locations" and region in _NOT_IN_THE_UNION)
    if value.startswith("in:"):
        group = value.removeprefix("in:").removesuffix("-locations")
        return group == region if group in regions.TOWNS else None
    name = value.removeprefix("is:").lower()
    zone = name.rpartition("-")[0]
    return name == region if name in regions.TOWNS or name in _MULTI or zone in regions.TOWNS else None
