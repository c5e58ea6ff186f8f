"""How far a region is from where a bucket's bytes are."""

from __future__ import annotations

import pytest

from gemmactl.limits import GPUS
from gemmactl.regions import TOWNS, Nearness, distance, known

SAME, INSIDE, CONTINENT, ABROAD, UNKNOWN = Nearness


@pytest.mark.parametrize(
    ("region", "location", "pair", "nearness"),
    [
        ("us-central1", "us-central1", (), SAME),
        ("us-central1", "US-CENTRAL1", (), SAME),
        ("us-central1", "us", (), INSIDE),
        ("us-central1", "nam4", (), INSIDE),
        ("us-east4", "nam4", (), CONTINENT),
        ("us-east4", "us", ("us-central1", "us-east4"), INSIDE),
        ("us-central1", "us", ("us-east1", "us-east4"), CONTINENT),
        ("europe-west4", "eu", (), INSIDE),
        ("europe-west2", "eu", (), CONTINENT),
        ("europe-west4", "eur4", (), INSIDE),
        ("europe-west1", "eur4", (), CONTINENT),
        ("asia-southeast1", "asia", (), INSIDE),
        ("asia-southeast1", "asia-northeast3", (), CONTINENT),
        ("us-east4", "northamerica-northeast1", (), CONTINENT),
        ("europe-west4", "us", (), ABROAD),
        ("europe-west4", "asia-northeast3", (), ABROAD),
        ("europe-west4", "europe-west99", (), CONTINENT),
        ("europe-west4", "moon-north1", (), UNKNOWN),
        ("europe-west4", "", (), UNKNOWN),
    ],
)
def test_nearness(region: str, location: str, pair: tuple[str, ...], nearness: Nearness) -> None:
    """Same region, inside a dual- or multi-region, same continent, another one; a place that nobody knows is called unknown."""
    assert distance(region, location, pair).nearness is nearness


def test_kilometres_are_between_towns() -> None:
    """Seoul to Tokyo is some 1160 km; a dual-region counts from its nearer half; a multi-region is no town."""
    assert distance("asia-northeast1", "asia-northeast3").km == pytest.approx(1160, abs=30)
    assert distance("us-central1", "us-east4").km == distance("us-east4", "us-central1").km
    near, far = distance("us-east4", "us-east1").km, distance("us-east4", "us-central1").km
    assert near is not None
    assert far is not None
    assert distance("us-east4", "nam4").km == min(near, far)
    assert distance("europe-west4", "us").km is None
    assert distance("europe-west4", "europe-west99").km is None


def test_every_gpu_region_has_a_town() -> None:
    """A GPU region without a town could not be ranked."""
    assert [region for gpu in GPUS.values() for region in gpu.regions if region not in TOWNS] == []


@pytest.mark.parametrize(
    ("region", "is_one"), [("us-central1", True), ("us-new9", True), ("mars", False), ("mars-1", False), ("us", False)]
)
def test_what_can_be_a_region(region: str, is_one: bool) -> None:
    """A new region of a known part of the world is believed, a word is not."""
    assert known(region) is is_one
