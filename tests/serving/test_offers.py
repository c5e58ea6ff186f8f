"""Which regions have room, and in which order they are told."""

from __future__ import annotations

import math

import pytest

from gemmactl.limits import GPUS
from gemmactl.resources.cloud import QuotaLimit
from gemmactl.resources.quota import CPU, GPU, MEMORY, Use
from gemmactl.serving.offers import GIB, Known, Offer, Room, Share, Size, Wanted, offers
from tests.fakes.cloud import fresh_limits

FREE, SHARED, UNKNOWN, NONE = Room
L4 = GPU["nvidia-l4"][0]
REGIONS = sorted({region for gpu in GPUS.values() for region in gpu.regions})


def known(limits: dict[tuple[str, str], float] | None = None, *, location: str = "", **uses: dict[str, Use]) -> Known:
    """A project as after its first GPU deployment; `uses` by region with `_` for `-`."""
    told = tuple(QuotaLimit(q, region, value) for (q, region), value in (fresh_limits() | (limits or {})).items())
    there = {region: uses.get(region.replace("-", "_"), {}) for region in REGIONS}
    return Known(told, there, location)


def regions(found: tuple[Offer, ...], room: Room = FREE) -> list[str]:
    return [offer.region for offer in found if offer.room is room]


@pytest.mark.parametrize(
    ("limit", "use", "room", "why"),
    [
        (3, Use(), FREE, ""),
        (3, Use(0, 2, ("a",)), FREE, ""),
        (3, Use(0, 3, ("a",)), SHARED, "GPU: a may take 3 of 3"),
        (3, Use(1, 300, ("a", "b")), SHARED, "GPU: a, b may take 300 of 3"),
        (3, Use(3, 3, ("a",)), NONE, "GPU: needs 1, the limit is 3, 3 kept by a"),
        (0, Use(), NONE, "no GPU quota"),
        (0, None, NONE, "no GPU quota"),
        (None, Use(), UNKNOWN, "GPU: limit unknown"),
        (3, None, UNKNOWN, "GPU: running services unknown"),
        (math.inf, Use(9, 9, ("a",)), FREE, ""),
    ],
)
def test_room_of_one_quota(limit: float | None, use: Use | None, room: Room, why: str) -> None:
    """Minimum instances take for sure, maximum ones perhaps; what was not told is never taken for room."""
    share = Share("GPU", 1, limit, use)
    assert (share.room, share.why) == (room, why)


def test_units_are_shown_as_people_read_them() -> None:
    """Bytes as GiB."""
    assert Share("memory", 80 * GIB, 40 * GIB, Use(), GIB).why == "memory: needs 80 GiB, the limit is 40 GiB"


def test_a_fresh_project_has_room_for_an_l4_and_not_for_an_rtx() -> None:
    """40 GiB are less than the RTX's least 80; the offer says so, and how many instances fit."""
    found = offers(known(), Wanted())
    assert set(regions(found)) == set(GPUS["nvidia-l4"].regions)
    assert {offer.gpu.name for offer in found if offer.room is NONE} == {"nvidia-rtx-pro-6000"}
    assert found[0].instances == 1
    assert found[-1].why == ("memory: needs 80 GiB, the limit is 40 GiB",)
    assert found[-1].instances == 0


def test_the_size_is_a_parameter() -> None:
    """Half the size fits twice and costs less; the other GPU keeps its default."""
    found = offers(known(), Wanted(sizes={"nvidia-l4": Size(4, 16)}))
    assert found[0].instances == 2
    assert str(found[0].price) == "$1.05"
    assert found[-1].size == Size(20, 80)


def test_the_bucket_decides_the_order() -> None:
    """Its region, then its continent by distance, then the others; regions on invitation come last."""
    found = offers(known(location="europe-west4"), Wanted(gpus=("nvidia-l4",)))
    assert regions(found) == ["europe-west4", "europe-west1", "us-east4", "us-central1", "asia-southeast1", "asia-south1"]
    inside = offers(known(location="us"), Wanted(gpus=("nvidia-l4",)))
    assert set(regions(inside)[:2]) == {"us-central1", "us-east4"}


def test_a_wish_goes_before_the_bucket_and_a_habit_after() -> None:
    """--region first; the configured region only where no bucket decides."""
    assert regions(offers(known(location="us"), Wanted(first="europe-west1")))[0] == "europe-west1"
    assert regions(offers(known(location="europe-west4"), Wanted(near="us-central1")))[0] == "europe-west4"
    assert regions(offers(known(), Wanted(near="asia-northeast3")))[0] == "asia-southeast1"


def test_room_goes_before_nearness() -> None:
    """The bucket's own region comes after those with room when its GPUs may be taken, and last when they are."""
    busy = known(location="us-central1", us_central1={L4: Use(0, 3, ("a",))}, us_east4={L4: Use(3, 3, ("b",))})
    found = offers(busy, Wanted(gpus=("nvidia-l4",)))
    assert regions(found, SHARED) == ["us-central1"]
    assert regions(found, NONE) == ["us-east4"]
    assert found[-1].region == "us-east4"
    assert found[-2].region == "us-central1"


def test_price_decides_between_equals() -> None:
    """Where both GPUs fit the same region, the cheaper comes first."""
    rich = {(quota, region): 1000.0 * GIB for quota in (CPU, MEMORY) for region in REGIONS}
    found = offers(known(rich, location="us-central1"), Wanted())
    assert [(o.region, o.gpu.name) for o in found[:2]] == [("us-central1", "nvidia-l4"), ("us-central1", "nvidia-rtx-pro-6000")]
    assert all(offer.room is FREE for offer in found)


def test_nothing_told_is_nothing_known() -> None:
    """Without limits every offer is unknown, never free; without a list of services too."""
    assert {offer.room for offer in offers(Known(None, {r: {} for r in REGIONS}), Wanted())} == {UNKNOWN}
    silent = Known(known().limits, {r: {} for r in REGIONS if r != "us-east4"})
    (east,) = (offer for offer in offers(silent, Wanted()) if offer.region == "us-east4")
    assert (east.room, east.instances) == (UNKNOWN, None)


def test_no_limit_at_all() -> None:
    """Unlimited quotas leave no number of instances to tell."""
    endless = {(quota, region): math.inf for quota in (CPU, MEMORY, L4) for region in REGIONS}
    best = offers(known(endless), Wanted(gpus=("nvidia-l4",)))[0]
    assert (best.room, best.instances) == (FREE, None)
