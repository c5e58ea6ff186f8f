"""How many instances of a service the region's quota has room for beside the others. Makes read calls only; knows no finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmactl import limits
from gemmactl.errors import Trouble
from gemmactl.resources import quota
from gemmactl.spec_rules import gib

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud
    from gemmactl.spec import Serve


def instances(cloud: Cloud, wish: Serve) -> int | None:
    """By GPUs, CPU and memory, whichever is the least; None where no limit is told, or it may not be asked."""
    try:
        told = cloud.quotas.limits(quota.of_region(wish.gpu_type))
        others = [live for live in cloud.run.list(wish.region) if str(live.get("name", "")).rpartition("/")[2] != wish.name]
    except Trouble:
        return None
    used = quota.uses(others)
    gpu = limits.GPUS[wish.gpu_type].quota
    each = {gpu: 1.0, limits.CPU_QUOTA: float(wish.cpu), limits.MEMORY_QUOTA: gib(wish.memory) * 2**30}
    fits = [(one.value - used[one.id].claimed) / each[one.id] for one in told if one.region == wish.region and one.id in each]
    return max(0, int(min(*fits, limits.INSTANCES_MOST))) if fits else None
