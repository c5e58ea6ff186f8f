"""Cloud Quotas: tells the limits that quota.py enforces, in the API's units. Knows no service and nothing of what runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from google.cloud.cloudquotas_v1.types import resources

from gemmactl.sandbox.projects_api import require_project
from gemmactl.sandbox.quota import Quota
from gemmactl.sandbox.regions import REGIONS
from gemmactl.sandbox.resource_rules import GIB
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

SERVICE: Final = "run.googleapis.com"


def behaviours(quota: Callable[[], Quota]) -> dict[str, Behaviour]:
    """`quota`: the limits that are enforced at this moment."""

    def get(world: World, caller: str, request: Any) -> Any:
        require_project(world, request.name)
        world.iam.require(caller, "cloudquotas.quotas.get", f"projects/{world.project}")
        _, _, _, _, _, service, _, quota_id = request.name.split("/")
        rows = _rows(quota())
        if service != SERVICE or quota_id not in rows:
            raise failed("NOT_FOUND", f"Requested entity was not found: {request.name}")  # guess
        return _info(world, quota_id, *rows[quota_id])

    return {"cloudquotas_v1.CloudQuotas.GetQuotaInfo": get}


def _rows(quota: Quota) -> dict[str, tuple[int, bool]]:
    """Quota id -> value, and whether each region has a row of its own. RTX in thousandths: source: published readings, 2026."""
    alone, both = "NoZonalRedundancyPerProjectRegion", "PerProjectRegion"
    return {
        f"NvidiaL4GpuAlloc{alone}": (quota.gpus, True),
        f"NvidiaL4GpuAlloc{both}": (quota.redundant_gpus, True),
        f"NvidiaRtxPro6000GpuAlloc{alone}": (quota.gpus * 1000, True),
        f"NvidiaRtxPro6000GpuAlloc{both}": (quota.redundant_gpus * 1000, True),
        "CpuAllocPerProjectRegion": (quota.cpus * 1000, False),
        "MemAllocPerProjectRegion": (quota.memory_gib * GIB, False),
    }


def _info(world: World, quota_id: str, value: int, own_rows: bool) -> Any:
    regions = sorted(REGIONS)
    rows: list[dict[str, Any]] = (
        [{"dimensions": {"region": r}, "applicable_locations": [r], "details": {"value": value}} for r in regions]
        if own_rows
        else [{"applicable_locations": regions, "details": {"value": value}}]
    )
    return plain(resources.QuotaInfo)(
        name=f"projects/{world.number}/locations/global/services/{SERVICE}/quotaInfos/{quota_id}",
        quota_id=quota_id,
        service=SERVICE,
        container_type=1,
        dimensions=["region"],
        metric_unit="1",
        dimensions_infos=rows,
    )
