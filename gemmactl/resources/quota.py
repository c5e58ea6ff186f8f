"""Cloud Run's quotas: their ids, and what services take of them at least and at most. Pure; knows no limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.resources.cloud import Json
from gemmactl.resources.quantity import amount

API: Final = "cloudquotas.googleapis.com"
PERMISSION: Final = "cloudquotas.quotas.get"
VIEWER: Final = "roles/cloudquotas.viewer"

# source: Cloud Run's quota texts ("Quota violated: NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion") and published readings
# of the Cloud Quotas API, service run.googleapis.com (2026)
CPU: Final = "CpuAllocPerProjectRegion"
MEMORY: Final = "MemAllocPerProjectRegion"
GPU: Final[Mapping[str, tuple[str, str]]] = {
    "nvidia-l4": ("NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion", "NvidiaL4GpuAllocPerProjectRegion"),
    "nvidia-rtx-pro-6000": (
        "NvidiaRtxPro6000GpuAllocNoZonalRedundancyPerProjectRegion",
        "NvidiaRtxPro6000GpuAllocPerProjectRegion",
    ),
}
"""Accelerator -> its quota without and with zonal redundancy."""
IDS: Final = (CPU, MEMORY, *(name for pair in GPU.values() for name in pair))

# source: google.cloud.run.v2.RevisionScaling (maximum when none is set) and Cloud Run's defaults for a container
UNSET_MAXIMUM: Final = 100
_UNSET_CPU, _UNSET_MEMORY = "1", "512Mi"


@dataclass(frozen=True)
class Use:
    """What services take of one quota: `held` always (minimum instances), up to `claimed` when all scale up; who they are."""

    held: float = 0.0
    claimed: float = 0.0
    names: tuple[str, ...] = ()

    def plus(self, held: float, claimed: float, name: str) -> Use:
        return Use(self.held + held, self.claimed + claimed, (*self.names, name) if claimed else self.names)


def uses(services: Iterable[Json]) -> dict[str, Use]:
    """Quota id -> use, of all services of one region. Jobs are not seen: their instances come and go."""
    found: dict[str, Use] = dict.fromkeys(IDS, Use())
    for live in services:
        least, most = instances(live)
        name = str(live.get("name", "")).rpartition("/")[2]
        for quota, each in _instance(live).items():
            found[quota] = found[quota].plus(least * each, most * each, name)
    return found


def instances(live: Json) -> tuple[int, int]:
    """Fewest and most instances of a service: the service's own limits bind its revisions'."""
    own, revision = live.get("scaling", {}), live.get("template", {}).get("scaling", {})
    if own.get("scalingMode") == "MANUAL":
        count = int(own.get("manualInstanceCount", 0))
        return count, count
    maxima = [int(s["maxInstanceCount"]) for s in (own, revision) if s.get("maxInstanceCount")]
    minima = [int(s.get("minInstanceCount", 0)) for s in (own, revision)]
    most = min(maxima, default=UNSET_MAXIMUM)
    return min(max(minima), most), most


def _instance(live: Json) -> dict[str, float]:
    """What one instance takes: the sum over its containers."""
    template = live.get("template", {})
    boxes: list[Mapping[str, Any]] = [c.get("resources", {}).get("limits", {}) for c in template.get("containers", ())]
    found = {
        CPU: sum(amount(box.get("cpu", _UNSET_CPU)) for box in boxes),
        MEMORY: sum(amount(box.get("memory", _UNSET_MEMORY)) for box in boxes),
    }
    pair = GPU.get(template.get("nodeSelector", {}).get("accelerator", ""))
    if pair and (gpus := sum(amount(box.get("nvidia.com/gpu", "0")) for box in boxes)):
        found[pair[0] if template.get("gpuZonalRedundancyDisabled") else pair[1]] = gpus
    return found
