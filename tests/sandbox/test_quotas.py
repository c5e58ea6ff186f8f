"""Cloud Quotas of the sandbox through the official client."""

from __future__ import annotations

import pytest
from conftest import PROJECT, Cloud
from google.api_core import exceptions
from google.cloud import cloudquotas_v1

from gemmactl.sandbox.quota import Quota

PARENT = f"{PROJECT}/locations/global/services/run.googleapis.com/quotaInfos"
L4 = f"{PARENT}/NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"
STRANGER = "stranger@example.com"


def values(cloud: Cloud, name: str) -> dict[str, int]:
    """Region -> value, as the client sees it."""
    info = cloud.client(cloudquotas_v1.CloudQuotasClient).get_quota_info(name=name)
    return {region: row.details.value for row in info.dimensions_infos for region in row.applicable_locations}


def test_it_must_be_enabled_and_allowed(cloud: Cloud) -> None:
    """Off: the 403 of a disabled API; a stranger: a 403 that names the permission; the viewer's role is enough."""
    with pytest.raises(exceptions.Forbidden, match="has not been used in project"):
        values(cloud, L4)
    cloud.enable("cloudquotas")
    assert values(cloud, L4)["us-central1"] == 3
    client = cloud.client(cloudquotas_v1.CloudQuotasClient, STRANGER)
    with pytest.raises(exceptions.Forbidden, match=r"cloudquotas\.quotas\.get"):
        client.get_quota_info(name=L4)
    cloud.world.iam.grant(f"user:{STRANGER}", "roles/cloudquotas.viewer", PROJECT)
    assert client.get_quota_info(name=L4).quota_id == L4.rpartition("/")[2]


def test_the_limits_are_those_that_are_enforced(cloud: Cloud) -> None:
    """Units as Google tells them: RTX in thousandths of a GPU, CPU in thousandths, memory in bytes; two shapes of dimensions."""
    cloud.enable("cloudquotas")
    fresh = Quota()
    assert (
        values(cloud, f"{PARENT}/NvidiaRtxPro6000GpuAllocNoZonalRedundancyPerProjectRegion")["us-central1"] == fresh.gpus * 1000
    )
    assert values(cloud, f"{PARENT}/NvidiaL4GpuAllocPerProjectRegion")["us-central1"] == fresh.redundant_gpus
    assert values(cloud, f"{PARENT}/CpuAllocPerProjectRegion")["europe-west4"] == fresh.cpus * 1000
    assert values(cloud, f"{PARENT}/MemAllocPerProjectRegion")["europe-west4"] == fresh.memory_gib * 1024**3


@pytest.mark.parametrize("name", [f"{PARENT}/None", L4.replace("run.", "compute.")])
def test_a_quota_that_is_not_there(cloud: Cloud, name: str) -> None:
    """Another id, another service: 404."""
    cloud.enable("cloudquotas")
    with pytest.raises(exceptions.NotFound):
        values(cloud, name)
