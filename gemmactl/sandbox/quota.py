"""The quotas of a fresh project and the sentences of their violation. Knows no service and no job but the one it is shown."""

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


@dataclass(frozen=True)
class Demand:
    """How many instances of a template may run at a time, and what Cloud Run calls their number."""

    template: Mapping[str, Any]
    count: int
    field: str
    called: str


def check_quota(template: Mapping[str, Any], quota: Quota) -> None:
    """Raise Cloud Run's sentence when a service's max instances times one instance is more than the quota.

    Raises:
        ApiError: 400.
    """
    count = int(template.get("scaling", {}).get("maxInstanceCount", 100))
    # source: Cloud Run's pages and published logs, corpus quota-001; which field is named is a guess for v2
    _check(Demand(template, count, "template.scaling.max_instance_count", "Max instances"), quota)


def check_job_quota(execution: Mapping[str, Any], quota: Quota) -> None:
    """The same for a job: as many tasks as run at a time. `execution`: the job's template with its defaults.

    Raises:
        ApiError: 400.
    """
    tasks = int(execution["taskCount"])
    # guess: field and wording, by analogy with services
    count = min(int(execution.get("parallelism") or tasks), tasks)
    _check(Demand(execution["template"], count, "template.parallelism", "Parallelism"), quota)


def _check(demand: Demand, quota: Quota) -> None:
    """Only with a GPU: without one an unset maximum is lowered by the server itself."""
    template, count = demand.template, demand.count
    if not has_gpu(template):
        return
    limits = template["containers"][0]["resources"]["limits"]
    redundant = not template.get("gpuZonalRedundancyDisabled")
    allowed = quota.redundant_gpus if redundant else quota.gpus
    how = "with" if redundant else "without"
    if not allowed:
        hint = " You could deploy using GPUs without zonal redundancy instead." if redundant and quota.gpus else ""
        sentence = f"You do not have quota for using GPUs {how} zonal redundancy.{hint}"
        raise _refused(demand, f"{sentence} To request quota: g.co/cloudrun/gpu-quota")
    if count > allowed:
        name = _IDS[template["nodeSelector"]["accelerator"]] + ("" if redundant else "NoZonalRedundancy") + "PerProjectRegion"
        raise _refused(
            demand,
            f"{demand.called} must be set to {allowed} or fewer in order to set GPU requirements. To request quota: "
            f"g.co/cloudrun/gpu-quota Quota violated: {name} requested: {count} allowed: {allowed}",
        )
    memory, cpu = quantity(limits["memory"]), quantity(limits["cpu"])
    if memory * count > quota.memory_gib * GIB:
        most = int(quota.memory_gib * GIB // memory)
        raise _refused(
            demand,
            f"{demand.called} must be set to {most} or fewer to set the requested total memory. "
            f"Quota violated: MemAllocPerProjectRegion requested: {int(memory * count)} allowed: {quota.memory_gib * GIB}",
        )
    if cpu * count > quota.cpus:
        # guess: by analogy with memory
        raise _refused(
            demand,
            f"{demand.called} must be set to {int(quota.cpus // cpu)} or fewer to set the requested total CPU. Quota violated: "
            f"CpuAllocPerProjectRegion requested: {int(cpu * count * 1000)} allowed: {quota.cpus * 1000}",
        )


def _refused(demand: Demand, sentence: str) -> ApiError:
    details = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": demand.field, "description": sentence}],
    }
    return failed("INVALID_ARGUMENT", f"{demand.field}: {sentence}", details)
