"""Cloud Quotas' own units and dimensions -> limits by region."""

from __future__ import annotations

import math

import pytest

from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.gcp.quotas import plain
from gemmactl.resources.cloud import QuotaLimit
from gemmactl.resources.quota import CPU, GPU, MEMORY
from tests.gcp.scripted import scripted

L4, _ = GPU["nvidia-l4"]
RTX, _ = GPU["nvidia-rtx-pro-6000"]


@pytest.mark.parametrize(
    ("quota", "value", "unit", "expected"),
    [
        (L4, 3, "1", 3),
        (L4, 0, "1", 0),
        (L4, 1000, "1", 1),
        (RTX, 3000, "1", 3),
        (RTX, 500, "m{gpu}", 0.5),
        (CPU, 20000, "1", 20),
        (CPU, 500, "1", 0.5),
        (MEMORY, 42949672960, "By", 40 * 2**30),
        (MEMORY, -1, "By", math.inf),
        (L4, -1, "1", math.inf),
    ],
)
def test_units(quota: str, value: int, unit: str, expected: float) -> None:
    """Whole GPUs (told in ones or thousandths), vCPUs (told in thousandths), bytes; -1 is no limit."""
    assert plain(quota, value, unit) == expected


def test_the_most_specific_row_of_a_region_counts() -> None:
    """A region's own row goes before the rest's; a value that is absent on the wire is 0; an unknown quota has no limits."""
    rows = [
        {"dimensions": {"region": "us-central1"}, "applicableLocations": ["us-central1"], "details": {"value": "8"}},
        {"dimensions": {"region": "us-east4"}, "applicableLocations": ["us-east4"], "details": {}},
        {"applicableLocations": ["europe-west4", "us-central1"], "details": {"value": "3"}},
    ]

    def answer(_method: str, path: str, _body: object) -> tuple[int, object]:
        if path == f"/v1/projects/p/locations/global/services/run.googleapis.com/quotaInfos/{L4}":
            return 200, {"quotaId": L4, "dimensionsInfos": rows}
        return 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "no such quota"}}

    with scripted(answer) as cloud:
        found = connect("p", cloud).quotas.limits([L4, "Other", L4])
        assert found == (QuotaLimit(L4, "us-central1", 8), QuotaLimit(L4, "us-east4", 0), QuotaLimit(L4, "europe-west4", 3))
        assert len(cloud.asked) == 2


def test_a_refusal_is_told() -> None:
    """One denied quota denies the answer: half of the limits would look like room."""

    def answer(_method: str, path: str, _body: object) -> tuple[int, object]:
        if path.endswith(CPU):
            return 403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "denied"}}
        return 200, {"dimensionsInfos": []}

    with scripted(answer) as cloud, pytest.raises(Trouble) as denied:
        connect("p", cloud).quotas.limits([L4, CPU])
    assert denied.value.facts["status"] == 403
