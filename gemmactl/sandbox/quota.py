"""The quotas of a fresh project and the sentences of their violation. Knows no service but the one it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemmactl.sandbox.resource_rules import GIB, has_gpu, quantity
from gemmactl.sandbox.wire import ApiError, failed

_IDS = {"nvidia-l4": "NvidiaL4GpuAlloc", "nvidia-rtx-pro-6000": "NvidiaRtxPro6000GpuAlloc"}


@dataclass(frozen=True)
class Quota:
    """What a region allows. Defaults: source: Cloud Run's pages and published logs (a new project after its first GPU deploy)."""

    gpus: int = 3
    """Without zonal redundancy, for each type."""
    redundant_gpus: int = 0
    memory_gib: int = 40
    cpus: int = 20


def check_quota(template: Mapping[str, Any], quota: Quota) -> None:
    """Raise Cloud Run's sentence when max instances times one instance is more than the quota.

    Only for GPU services: without one an unset maximum is lowered by the server itself.

    Raises:
        ApiError: 400.
    """
    if not has_gpu(template):
        return
    limits = template["containers"][0]["resources"]["limits"]
    count = int(template.get("scaling", {}).get("maxInstanceCount", 100))
    redundant = not template.get("gpuZonalRedundancyDisabled")
    allowed = quota.redundant_gpus if redundant else quota.gpus
    how = "with" if redundant else "without"
    if not allowed:
        hint = " You could deploy using GPUs without zonal redundancy instead." if redundant and quota.gpus else ""
        raise _refused(
            f"You do not have quota for using GPUs {how} zonal redundancy.{hint} To request quota: g.co/cloudrun/gpu-quota"
        )
    if count > allowed:
        name = _IDS[template["nodeSelector"]["accelerator"]] + ("" if redundant else "NoZonalRedundancy") + "PerProjectRegion"
        raise _refused(
            f"Max instances must be set to {allowed} or fewer in order to set GPU requirements. To request quota: "
            f"g.co/cloudrun/gpu-quota Quota violated: {name} requested: {count} allowed: {allowed}"
        )
    memory, cpu = quantity(limits["memory"]), quantity(limits["cpu"])
    if memory * count > quota.memory_gib * GIB:
        raise _refused(
            f"Max instances must be set to {int(quota.memory_gib * GIB // memory)} or fewer to set the requested total memory. "
            f"Quota violated: MemAllocPerProjectRegion requested: {int(memory * count)} allowed: {quota.memory_gib * GIB}"
        )
    if cpu * count > quota.cpus:
        # guess: by analogy with memory
        raise _refused(
            f"Max instances must be set to {int(quota.cpus // cpu)} or fewer to set the requested total CPU. Quota violated: "
            f"CpuAllocPerProjectRegion requested: {int(cpu * count * 1000)} allowed: {quota.cpus * 1000}"
        )


def _refused(sentence: str) -> ApiError:
    # source: Cloud Run's pages and published logs, corpus quota-001; which field is named is a guess for v2
    field = "template.scaling.max_instance_count"
    details = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": sentence}],
    }
    return failed("INVALID_ARGUMENT", f"{field}: {sentence}", details)
