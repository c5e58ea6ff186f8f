"""Cloud Run's quotas: their ids, and what services and runs of jobs take of them. Pure; knows no limit."""

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


def of_region(gpu: str) -> tuple[str, ...]:
    """What an instance with the GPU takes of a region, always in one order: whoever asks by it asks what was asked already."""
    return (GPU[gpu][0], CPU, MEMORY)


@dataclass(frozen=True)
class Use:
    """What is taken of one quota: `held` now for sure (minimum instances, tasks that run), up to `claimed`; who they are."""

    held: float = 0.0
    claimed: float = 0.0
    names: tuple[str, ...] = ()

    def plus(self, held: float, claimed: float, name: str) -> Use:
        return Use(self.held + held, self.claimed + claimed, (*self.names, name) if claimed else self.names)


def uses(services: Iterable[Json], executions: Iterable[Json] = ()) -> dict[str, Use]:
    """Quota id -> use, of all services of one region and of executions of its jobs. A job that does not run takes nothing."""
    found: dict[str, Use] = dict.fromkeys(IDS, Use())
    for live in services:
        least, most = instances(live)
        name = str(live.get("name", "")).rpartition("/")[2]
        for quota, each in _instance(live).items():
            found[quota] = found[quota].plus(least * each, most * each, name)
    for execution in executions:
        now, left = tasks(execution)
        # a job's GPUs are without zonal redundancy, whatever it says
        template = {**execution.get("template", {}), "gpuZonalRedundancyDisabled": True}
        for quota, each in _instance({"template": template}).items():
            found[quota] = found[quota].plus(now * each, left * each, str(execution.get("name", "")).rpartition("/")[2])
    return found


def tasks(execution: Json) -> tuple[int, int]:
    """Tasks of an execution that run now, and that may run at a time until it is over."""
    if execution.get("completionTime"):
        return 0, 0
    count = int(execution.get("taskCount", 1))
    over = sum(int(execution.get(f"{end}Count", 0)) for end in ("succeeded", "failed", "cancelled"))
    left = min(int(execution.get("parallelism", 0)) or count, max(count - over, 0))
    return min(int(execution.get("runningCount", 0)), left), left


def takes_gpu(job: Json) -> bool:
    """Whether the tasks of a job have a GPU whose quota is known."""
    return job.get("template", {}).get("template", {}).get("nodeSelector", {}).get("accelerator", "") in GPU


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
