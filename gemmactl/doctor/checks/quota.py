"""Room in the region: what the quota allows, and what other services and running jobs may take of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.errors import Trouble
from gemmactl.limits import QUOTA_LINK
from gemmactl.resources import quota
from gemmactl.resources.cloud import Json
from gemmactl.resources.job import Job
from gemmactl.resources.quantity import amount
from gemmactl.resources.service import Service

NAME: Final = "quota"
LIST: Final = "run.services.list"
NO_GRANT: Final = ("any IAM grant",)


def room(ground: Ground) -> Answer:
    """GPUs, CPUs and memory of the region for this service beside the others; its own share is not counted twice."""
    wish, gpu = ground.service, ground.service.gpu_type or ""
    if gpu not in quota.GPU:
        return "no GPU is asked for"
    with ThreadPoolExecutor(3) as pool:
        listed = pool.submit(ground.cloud.run.list, wish.region)
        ran = pool.submit(_running, ground)
        told = ground.cloud.quotas.limits(quota.of_region(gpu))
    limits = {one.id: one.value for one in told if one.region == wish.region}
    own = "" if isinstance(wish, Job) else wish.name
    others = [live for live in listed.result() if str(live.get("name", "")).rpartition("/")[2] != own]
    services, shares = quota.uses(others), _shares(wish)
    if small := tuple(one for share in shares if (one := _small(share, limits, ground))):
        return small
    if held := [one for share in shares if (one := _held(share, limits, services[share.id], ground))]:
        return tuple(held[:1])
    whole = quota.uses(others, ran.result())  # services alone leave room: what runs of jobs decides, and must be seen
    if taken := [one for share in shares if (one := _taken(share, limits, whole[share.id], ground))]:
        return tuple(taken[:1])
    if silent := [share.id for share in shares if share.id not in limits]:
        raise Trouble(
            f"no limit is told for {wish.region}: {', '.join(silent)}",
            why="the Cloud Quotas API has no row for it",
            remedy="look at it: " + QUOTA_LINK,
            code="quota-untold",
        )
    return "; ".join(share.seen(limits[share.id], whole[share.id], wish.region) for share in shares)


@dataclass(frozen=True)
class Share:
    """What the wish takes of one quota: of each instance (or task), and of how many."""

    id: str
    of: str
    each: float
    most: int
    small: str
    """The code of a wish that is more than the whole quota."""

    def text(self, value: float) -> str:
        """A number of GPUs, vCPUs or bytes, for reading."""
        return f"{value / 2**30:g} GiB" if self.of == "memory" else f"{value:g}"

    def seen(self, limit: float, use: quota.Use, region: str) -> str:
        whole = self.text(limit) if math.isfinite(limit) else "any number of"
        return f"{whole} {'GPUs' if self.of == 'GPU' else self.of} in {region}, {self.text(use.claimed)} claimed by others"


def _shares(wish: Service | Job) -> tuple[Share, ...]:
    most, gpu = _most(wish), wish.gpu_type or ""
    sizes = [box.resources for box in wish.containers or () if box.resources]
    cpu, memory = (sum(amount(getattr(one, name) or "0") for one in sizes) for name in ("cpu", "memory"))
    return (
        Share(quota.GPU[gpu][0], "GPU", 1, most, "gpu-quota-small"),
        Share(quota.CPU, "CPU", cpu, most, "cpu-quota"),
        Share(quota.MEMORY, "memory", memory, most, "memory-quota"),
    )


def _small(share: Share, limits: Mapping[str, float], ground: Ground) -> Finding | None:
    """A wish that is more than the whole quota: Cloud Run refuses it when it is written."""
    limit, what = limits.get(share.id, math.inf), ground.what
    if limit < share.each and share.of == "GPU":
        return _finding(share, ground, "gpu-quota-none", "leaves no GPU for the first instance", f"it is {limit:g}", sure=True)
    if limit >= share.each * share.most:
        return None
    # source: Cloud Run's texts: "Max instances must be set to N or fewer": the product is judged, not what runs
    takes = f"this {what} may take {share.text(share.each * share.most)} ({share.most} at a time)"
    why = f"{share.text(limit)} in all; {takes}"
    return _finding(share, ground, share.small, f"is less than this {what} may take", why, sure=not ground.live)


def _held(share: Share, limits: Mapping[str, float], use: quota.Use, ground: Ground) -> Finding | None:
    """Others leave no room for the first instance."""
    limit = limits.get(share.id, math.inf)
    if limit - use.held >= share.each:
        return None
    holders = f"others keep {share.text(use.held)} of {share.text(limit)} with minimum instances and tasks that run"
    said = f"leaves no {'GPU' if share.of == 'GPU' else 'room'} for the first instance"
    return _finding(share, ground, "gpu-quota-in-use", said, f"{holders}: {', '.join(use.names)}", sure=True)


def _taken(share: Share, limits: Mapping[str, float], use: quota.Use, ground: Ground) -> Finding | None:
    """The same with what runs of jobs; or others may take what this one may."""
    limit = limits.get(share.id, math.inf)
    if held := _held(share, limits, use, ground):
        return held
    if limit - use.claimed >= share.each * share.most:
        return None
    takes = f"this {ground.what} may take {share.text(share.each * share.most)}"
    why = f"{share.text(limit)} in all; {takes}, others up to {share.text(use.claimed)}: {', '.join(use.names)}"
    return _finding(share, ground, "gpu-quota-in-use", "is shared with others", why, sure=False)


def _running(ground: Ground) -> tuple[Json, ...]:
    """What runs of other jobs with a GPU: a run of the wish's own job is the one that it joins."""
    region, own = ground.service.region, ground.service.name if isinstance(ground.service, Job) else ""
    jobs = [str(job["name"]) for job in ground.cloud.jobs.list(region) if quota.takes_gpu(job)]
    asked = [name for name in jobs if name.rpartition("/")[2] != own]
    if not asked:
        return ()
    with ThreadPoolExecutor(min(16, len(asked))) as pool:
        return tuple(one for found in pool.map(ground.cloud.jobs.executions, asked) for one in found)


def _most(wish: Service | Job) -> int:
    """GPUs that it may take at a time."""
    if isinstance(wish, Job):
        return wish.parallelism or wish.task_count or 1
    return (wish.scaling and wish.scaling.max_instances) or quota.UNSET_MAXIMUM


def _finding(share: Share, ground: Ground, code: str, what: str, why: str, *, sure: bool) -> Finding:
    remedy = "Lower the others' instances" if code == "gpu-quota-in-use" else "Lower the most instances (or tasks at a time)"
    return Finding(
        code=code,
        category="quota_capacity",
        subcategory=share.of.lower(),
        title=f"the {share.of} quota of {ground.service.region} {what}",
        cause=f"{share.id}: {why}.",
        remedy=f"{remedy}, choose another region, or ask for more: " + QUOTA_LINK,
        commands=("gemmactl regions",),
        fix_kind="admin_action",
        not_fix=NO_GRANT,
        state="problem" if sure else "advice",
    )


CHECKS: Final = (Check(NAME, room, quota.PERMISSION),)
