"""Room in the region: what the quota allows, and what other services and running jobs may take of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.errors import Trouble
from gemmactl.limits import QUOTA_LINK
from gemmactl.resources import quota
from gemmactl.resources.cloud import Json
from gemmactl.resources.job import Job
from gemmactl.resources.service import Service

LIST: Final = "run.services.list"
NAME: Final = "quota"
NO_GRANT: Final = ("any IAM grant",)


def room(ground: Ground) -> Answer:
    """GPUs of the region for this service beside the others; its own share is not counted twice."""
    wish = ground.service
    pair = quota.GPU.get(wish.gpu_type or "")
    if pair is None:
        return "no GPU is asked for"
    with ThreadPoolExecutor(3) as pool:
        listed = pool.submit(ground.cloud.run.list, wish.region)
        ran = pool.submit(_running, ground)
        told = ground.cloud.quotas.limits(quota.of_region(wish.gpu_type or ""))
    limit = next((one.value for one in told if (one.id, one.region) == (pair[0], wish.region)), None)
    own = "" if isinstance(wish, Job) else wish.name
    others = [live for live in listed.result() if str(live.get("name", "")).rpartition("/")[2] != own]
    if limit is None:
        # a region without a row may have no quota at all, or one that is not told: neither is room
        raise Trouble(f"no limit of {pair[0]} is told for {wish.region}", why="", remedy="")
    use = quota.uses(others)[pair[0]]
    if limit - use.held >= 1:  # services alone leave room: what runs of jobs decides, and must be seen
        use = quota.uses(others, ran.result())[pair[0]]
    left, most = limit - use.held, _most(wish)
    names = ", ".join(use.names)
    if left < 1:
        held = f"others keep {use.held:g} of {limit:g} with minimum instances and tasks that run: {names}"
        why = held if use.held else f"it is {limit:g}"
        return (_finding(ground, pair[0], "leaves no GPU for the first instance", why, sure=True),)
    if isinstance(wish, Service) and wish.scaling and limit < (wish.scaling.max_instances or 0):
        return (_too_small(ground, pair[0], limit, most),)
    if limit - use.claimed < most:
        why = f"{limit:g} in all; this {ground.what} may take {most}, others up to {use.claimed:g}: {names}"
        return (_finding(ground, pair[0], "is shared with others", why, sure=False),)
    return f"{limit:g} GPUs in {wish.region}, {use.claimed:g} claimed by others"


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


def _too_small(ground: Ground, name: str, limit: float, most: int) -> Finding:
    """Cloud Run counts the maximum itself, whoever else is there: it refuses the service."""
    told = _finding(ground, name, f"has no room for {most} instances", f"{most} are asked for, {limit:g} allowed", sure=True)
    return replace(told, code="quota-too-small", remedy=f"Use --max-instances {int(limit)}, or ask for more: {QUOTA_LINK}")


def _finding(ground: Ground, name: str, what: str, why: str, *, sure: bool) -> Finding:
    return Finding(
        code="gpu-quota-in-use" if not sure or "others" in why else "gpu-quota-none",
        category="quota_capacity",
        subcategory="gpu",
        title=f"the GPU quota of {ground.service.region} {what}",
        cause=f"{name}: {why}.",
        remedy="Lower the others' instances, choose another region, or ask for more: " + QUOTA_LINK,
        commands=("gemmactl regions",),
        fix_kind="admin_action",
        not_fix=NO_GRANT,
        state="problem" if sure else "advice",
    )


CHECKS: Final = (Check(NAME, room, quota.PERMISSION),)
