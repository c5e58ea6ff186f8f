"""What an instance costs, and how sure that is."""

from __future__ import annotations

import pytest

from gemmactl.limits import GPUS
from gemmactl.prices import GPU_SECOND, Certainty, per_hour


@pytest.mark.parametrize(
    ("gpu", "cpu", "gib", "region", "shown", "certainty"),
    [
        # an hour of a GPU at 0.0001867 a second, of 8 CPUs and of 32 GiB
        ("nvidia-l4", 8, 32, "us-central1", "$1.42", Certainty.LISTED),
        ("nvidia-l4", 4, 16, "us-central1", "$1.05", Certainty.LISTED),
        ("nvidia-rtx-pro-6000", 20, 80, "us-central1", "$3.19", Certainty.LISTED),
        ("nvidia-l4", 8, 32, "europe-west4", "$1.42", Certainty.TIER),
        ("nvidia-l4", 8, 32, "asia-southeast1", "from $1.42", Certainty.AT_LEAST),
        ("nvidia-l4", 8, 32, "some-region9", "from $1.42", Certainty.AT_LEAST),
        ("nvidia-h100-80gb", 8, 32, "us-central1", "unknown", Certainty.UNKNOWN),
    ],
)
def test_price_of_an_hour(gpu: str, cpu: float, gib: float, region: str, shown: str, certainty: Certainty) -> None:
    """The sum of GPU, CPU and memory; another tier is a lower bound, a GPU without a list price is no number."""
    price = per_hour(gpu, cpu, gib, region)
    assert (str(price), price.certainty) == (shown, certainty)
    assert (price.usd is None) is (certainty is Certainty.UNKNOWN)


def test_every_gpu_has_a_price() -> None:
    """What can be deployed can be priced."""
    assert set(GPU_SECOND) == set(GPUS)
