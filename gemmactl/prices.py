"""What instances, storage, images, secrets and builds cost, with how sure that is. Data with source and date; knows no cloud."""

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

MONTH: Final = 730.0
"""Hours of a month, as Google's own examples and calculator count it."""

# source: cloud.google.com/storage/pricing, Standard storage. A transcript of 2026-09-20 quotes 0.000027397 USD for a GiB-hour in
# us-central1, which is 0.020 for a GiB-month; copies of 2022 and later have the same, and these of the other two regions. No
# region in them is cheaper than 0.020, so that is a lower bound for a region that none of them showed.
STORAGE_GIB_MONTH: Final[Mapping[str, float]] = {"us-central1": 0.020, "europe-west1": 0.020, "us-east4": 0.023}
STORAGE_LEAST: Final = 0.020
# source: cloud.google.com/artifact-registry/pricing in copies without a date: free up to 0.5 GB of a billing account, above it
# one price in every region
IMAGE_GB_MONTH: Final = 0.10
# source: cloud.google.com/secret-manager/pricing (a bill of 2026-04 shows the same): for each version that is not destroyed and
# each location, six of a billing account free
SECRET_VERSION_MONTH: Final = 0.06
# source: cloud.google.com/build/pricing, copy of 2025-08: e2-highcpu-8, the machine that the image is built on
BUILD_MINUTE: Final = 0.016

SOURCES: Final = (
    ("run", LIST_DATE),
    ("storage", "2026-09"),
    ("secret-manager", "2026-04"),
    ("build", "2025-08"),
    ("artifact-registry", "undated"),
)
"""Service whose page cloud.google.com/SERVICE/pricing it is, and the month of the newest copy or document with its numbers."""


class Certainty(Enum):
    """How far a price can be trusted."""

    LISTED = "listed"
    """Quoted for this very region."""
    TIER = "tier"
    """Quoted for us-central1; Google puts this region into the same price tier."""
    AT_LEAST = "at-least"
    """Quoted for us-central1; this region's tier is dearer, or a part of the sum is not known."""
    UNKNOWN = "unknown"


_ORDER: Final = tuple(Certainty)


@dataclass(frozen=True)
class Price:
    """US dollars, or None. Of what (an hour, a month) is said by whoever made it."""

    usd: float | None
    certainty: Certainty

    def __str__(self) -> str:
        """`$1.42`, `from $1.42` or `unknown`: as it may stand on a screen."""
        if self.usd is None:
            return "unknown"
        if self.certainty is Certainty.AT_LEAST:
            return f"from ${self.usd:,.2f}"
        return "under $0.01" if 0 < self.usd < 0.005 else f"${self.usd:,.2f}"

    def __add__(self, other: Price) -> Price:
        """The sum. What is not known makes it a lower bound, not nothing."""
        if self.usd is None and other.usd is None:
            return UNKNOWN
        doubt = max(_ORDER.index(self.certainty), _ORDER.index(other.certainty))
        return Price((self.usd or 0.0) + (other.usd or 0.0), _ORDER[min(doubt, _ORDER.index(Certainty.AT_LEAST))])

    def __mul__(self, times: float) -> Price:
        return Price(None if self.usd is None else self.usd * times, self.certainty)

    def document(self) -> dict[str, float | str | None]:
        return {"usd": None if self.usd is None else round(self.usd, 4), "certainty": self.certainty.value}


UNKNOWN: Final = Price(None, Certainty.UNKNOWN)
NOTHING: Final = Price(0.0, Certainty.LISTED)


def per_hour(gpu: str, cpu: float, memory_gib: float, region: str) -> Price:
    """An instance with one GPU (no zonal redundancy), billed for its whole life, its start included."""
    if gpu not in GPU_SECOND:
        return UNKNOWN
    usd = 3600 * (GPU_SECOND[gpu] + cpu * CPU_SECOND + memory_gib * GIB_SECOND)
    if region == LIST_REGION:
        return Price(usd, Certainty.LISTED)
    return Price(usd, Certainty.TIER if region in TIER_1 else Certainty.AT_LEAST)


def stored(size: int | None, region: str) -> Price:
    """A month of `size` bytes in Cloud Storage, Standard class, in one region. None: the size is not known."""
    if size is None:
        return UNKNOWN
    listed = STORAGE_GIB_MONTH.get(region)
    usd = size / 2**30 * (STORAGE_LEAST if listed is None else listed)
    return Price(usd, Certainty.AT_LEAST if listed is None else Certainty.LISTED)


def images(size: int | None, *, growing: bool = False) -> Price:
    """A month of `size` bytes of images in Artifact Registry, the free half gigabyte not counted. None: not known.

    `growing`: more will come, of a size that is not known.
    """
    if size is None:
        return UNKNOWN
    return Price(size / 1e9 * IMAGE_GB_MONTH, Certainty.AT_LEAST if growing else Certainty.LISTED)


def secrets(versions: int) -> Price:
    """A month of that many secret versions in one location, the free six not counted."""
    return Price(versions * SECRET_VERSION_MONTH, Certainty.LISTED)


def built(minutes: float) -> Price:
    """One build on the machine that the image is built on."""
    return Price(minutes * BUILD_MINUTE, Certainty.LISTED)


def sources() -> str:
    """Where the numbers are from, and of when, in one sentence."""
    pages = ", ".join(f"{service} {date}" for service, date in SOURCES)
    return f"USD list prices without tax, free tier, network; cloud.google.com/SERVICE/pricing: {pages}"
