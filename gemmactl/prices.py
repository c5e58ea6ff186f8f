"""What an instance costs while it lives, with how sure that is. Data with source and date; knows no cloud and no quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

LIST_REGION: Final = "us-central1"
LIST_DATE: Final = "2026-10"
PAGE: Final = "https://cloud.google.com/run/pricing"

# source: Cloud Billing's SKUs of us-central1 as a public deployment document quotes them (2026-08), the same numbers as
# cloud.google.com/run/pricing (instance-based billing) in documents of 2026-04 and 2026-10. GPUs without zonal redundancy.
# USD for one second. Not read from a bill of ours.
GPU_SECOND: Final[Mapping[str, float]] = {"nvidia-l4": 0.0001867, "nvidia-rtx-pro-6000": 0.00036522}
CPU_SECOND: Final = 0.000018
GIB_SECOND: Final = 0.000002

# source: cloud.google.com/run/docs/locations: regions "subject to Tier 1 pricing", of those with a GPU. The others are Tier 2,
# which is dearer; by how much is not known here: documents disagree (20 % or 40 %), and none quotes a GPU there.
TIER_1: Final = frozenset({"us-central1", "us-east4", "europe-west1", "europe-west4"})


class Certainty(Enum):
    """How far a price can be trusted."""

    LISTED = "listed"
    """Quoted for this very region."""
    TIER = "tier"
    """Quoted for us-central1; Google puts this region into the same price tier."""
    AT_LEAST = "at-least"
    """Quoted for us-central1; this region's tier is dearer."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Price:
    """US dollars for one hour of one instance, or None."""

    usd: float | None
    certainty: Certainty

    def __str__(self) -> str:
        """`$1.42`, `from $1.42` or `unknown`: as it may stand on a screen."""
        if self.usd is None:
            return "unknown"
        return f"{'from ' if self.certainty is Certainty.AT_LEAST else ''}${self.usd:.2f}"


def per_hour(gpu: str, cpu: float, memory_gib: float, region: str) -> Price:
    """An instance with one GPU (no zonal redundancy), billed for its whole life, its start included."""
    if gpu not in GPU_SECOND:
        return Price(None, Certainty.UNKNOWN)
    usd = 3600 * (GPU_SECOND[gpu] + cpu * CPU_SECOND + memory_gib * GIB_SECOND)
    if region == LIST_REGION:
        return Price(usd, Certainty.LISTED)
    return Price(usd, Certainty.TIER if region in TIER_1 else Certainty.AT_LEAST)
