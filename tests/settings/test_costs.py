"""What a stack costs asleep, awake, for one wake-up and at most; and what is not known of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl.costs import IDLE, ceiling, costs
from gemmactl.prices import NOTHING, PAGE, UNKNOWN, Certainty, Price, images, secrets, sources, stored
from gemmactl.spec import SecretRef, Serve, Token, parse_model

GIB = 2**30
WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", cpu=4, memory="16Gi")
HOUR = 3600 * (0.0001867 + 4 * 0.000018 + 16 * 0.000002)


def test_an_awake_hour_and_the_month_that_it_can_come_to() -> None:
    """The ceiling is every instance that may be awake, all 730 hours, beside what is stored."""
    found = costs(replace(WISH, max_instances=3), 8 * GIB, image=3 * 10**9)
    assert found.hour.usd == pytest.approx(HOUR)
    assert found.ceiling.usd == pytest.approx(3 * 730 * HOUR + 8 * 0.020 + 0.30)
    assert found.ceiling.certainty is Certainty.LISTED


def test_asleep_is_what_is_stored_and_the_instances_that_never_sleep() -> None:
    """Model, secret versions and image; --min-instances is paid for all month."""
    wish = replace(WISH, hf_token=Token("hf_x"), secrets=(("A", SecretRef("a", "1")), ("B", SecretRef("a", "1"))))
    found = costs(wish, 8 * GIB, image=3 * 10**9)
    assert found.asleep.usd == pytest.approx(8 * 0.020 + 2 * 0.06 + 0.30)
    awake = costs(replace(wish, min_instances=1), 8 * GIB, image=3 * 10**9)
    assert awake.asleep.usd == pytest.approx(8 * 0.020 + 2 * 0.06 + 0.30 + 730 * HOUR)


def test_one_wake_up_is_paid_until_the_instance_goes() -> None:
    """The start and the idle time after the last answer, never less."""
    assert costs(WISH, GIB, start=40.0).wake.usd == pytest.approx(HOUR * (40 + IDLE) / 3600)
    assert costs(WISH, GIB).wake.usd == pytest.approx(HOUR * IDLE / 3600)


def test_what_is_not_known_makes_a_sum_a_lower_bound() -> None:
    """An image that was never built has no size: the sum says from; nothing known at all is unknown, not zero."""
    found = costs(WISH, 8 * GIB)
    assert (str(found.image), str(found.asleep)) == ("unknown", "from $0.16")
    assert UNKNOWN + UNKNOWN == UNKNOWN
    assert str(UNKNOWN * 3) == "unknown"
    strange = costs(replace(WISH, gpu_type="nvidia-h100-80gb"), 8 * GIB, image=0)
    assert (str(strange.hour), str(strange.wake)) == ("unknown", "unknown")
    assert str(strange.ceiling) == "from $0.16"


def test_what_somebody_else_stores_costs_nothing_here() -> None:
    """A model of the Hub and an image from elsewhere are on nobody's bill of this project."""
    wish = replace(WISH, model=parse_model("hf:google/gemma-3-4b-it"), image="us-docker.pkg.dev/other/repo/image:1")
    assert costs(wish, None).asleep == NOTHING + secrets(0)


@pytest.mark.parametrize(
    ("region", "shown"),
    [("us-central1", "$0.16"), ("us-east4", "$0.18"), ("europe-west4", "from $0.16"), ("asia-southeast1", "from $0.16")],
)
def test_storage_of_a_region_that_no_copy_showed_is_a_lower_bound(region: str, shown: str) -> None:
    """No region is cheaper than the cheapest that was read."""
    assert str(stored(8 * GIB, region)) == shown


def test_small_sums_are_not_rounded_to_nothing() -> None:
    """A price that is less than half a cent is no zero; thousands have their comma."""
    assert str(stored(GIB // 100, "us-central1")) == "under $0.01"
    assert str(images(0)) == "$0.00"
    assert str(Price(1234.5, Certainty.TIER)) == "$1,234.50"


def test_machines_get_numbers_with_their_certainty_and_source() -> None:
    """Null where nothing is known; every page has its month."""
    document = costs(WISH, 8 * GIB, start=40.0).document()
    assert document["instance_hour"] == {"usd": round(HOUR, 4), "certainty": "listed"}
    assert document["asleep_month"]["image"] == {"usd": None, "certainty": "unknown", "usd_per_gb": 0.1}
    assert document["ceiling_month"]["certainty"] == "at-least"
    assert {row["date"] for row in document["sources"]} >= {"2026-10", "2026-09"}
    assert document["sources"][0]["page"] == PAGE
    assert "cloud.google.com/SERVICE/pricing: run 2026-10, storage 2026-09" in sources()


def test_the_sentence_before_a_service_is_opened() -> None:
    """What callers can make it cost, with the reason; a dearer region is said to be so."""
    assert ceiling(replace(WISH, max_instances=2)) == (
        "callers can make it cost up to $1,527.92 a month: 2 instances awake all the time at $1.05 an hour"
        " (list of us-central1, 2026-10)"
    )
    assert "asia-southeast1 is dearer" in ceiling(replace(WISH, region="asia-southeast1"))
    assert "not known here" in ceiling(replace(WISH, gpu_type="nvidia-h100-80gb"))
