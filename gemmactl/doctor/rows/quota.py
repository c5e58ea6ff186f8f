"""Quota and capacity: GPUs, memory, CPU, rates. Knows no request for more beyond where to ask."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import Row

_NO_GRANT: Final = ("any IAM grant", "Compute Engine's GPUS_ALL_REGIONS: another quota")
_ASK: Final = "Ask for it at https://g.co/cloudrun/gpu-quota"
_USED: Final = r"(?:.{0,40}?requested: (?P<requested>\d+) allowed: (?P<allowed>\d+))?"
_LIST: Final = "gcloud beta quotas info list --service=run.googleapis.com --project={project}"

ROWS: Final = (
    Row(
        code="gpu-job-redundancy",
        category="quota_capacity",
        subcategory="gpu_quota",
        title="GPU jobs can't have zonal redundancy",
        cause="Cloud Run offers it for services only.",
        remedy="Deploy the job without it.",
        patterns=(
            r"jobs are unable to offer GPU enabled instances with zonal redundancy",
            r"GPU zonal redundancy must be disabled.{0,80}for a job",
        ),
        commands=("gcloud run jobs update {job} --no-gpu-zonal-redundancy --region={region} --project={project}",),
        explains=("gpu-quota-redundant", "gpu-shape"),
        not_fix=_NO_GRANT,
        confidence=0.95,
    ),
    Row(
        code="gpu-quota-redundant",
        category="quota_capacity",
        subcategory="gpu_quota",
        title="The project has no quota for GPUs with zonal redundancy",
        cause="The first grant is 3 L4 without redundancy; with redundancy there is none, and it is gcloud's default.",
        remedy="Deploy without zonal redundancy (gemmactl's default).",
        patterns=(
            r"(?:(?:do not|don't) |^)have quota for using GPUs with zonal redundancy",
            rf"Quota violated: NvidiaL4GpuAllocPerProjectRegion{_USED}",
        ),
        commands=("gcloud run services update {service} --no-gpu-zonal-redundancy --region={region} --project={project}",),
        not_fix=_NO_GRANT,
        confidence=0.95,
    ),
    Row(
        code="gpu-quota-none",
        category="quota_capacity",
        subcategory="gpu_quota",
        title="The project has no GPU quota in this region",
        cause="NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion is 0 here; new and trial billing accounts start so.",
        remedy=f"{_ASK}, or deploy in another GPU region. A job needs as many as its parallelism.",
        patterns=(
            r"(?:(?:do not|don't) |^)have quota for using GPUs without zonal redundancy",
            r"(?:do not|don't|does not) have (?:enough |sufficient |any )?quota for (?:using )?(?:NVIDIA|L4|RTX|GPU)",
        ),
        fix_kind="user_action",
        commands=(_LIST,),
        not_fix=_NO_GRANT,
        confidence=0.95,
    ),
    Row(
        code="gpu-quota-small",
        category="quota_capacity",
        subcategory="gpu_quota",
        title="More GPUs were asked for than the quota allows",
        cause="Quota is counted for max instances, not for what runs now.",
        remedy=f"Lower --max-instances to what the message allows, or ask for more. {_ASK}",
        patterns=(
            r"Max instances must be set to (?P<allowed>\d+) or fewer in order to set GPU requirements",
            (
                r"(?P<quota>Nvidia\w{1,60}?NoZonalRedundancyPerProjectRegion)"
                r" requested: (?P<requested>\d+) allowed: (?P<allowed>\d+)"
            ),
        ),
        commands=("gcloud run services update {service} --max-instances=1 --region={region} --project={project}", _LIST),
        not_fix=_NO_GRANT,
        confidence=0.95,
    ),
    Row(
        code="memory-quota",
        category="quota_capacity",
        subcategory="memory_quota",
        title="Memory times max instances is above the region's quota",
        cause="A new project has 40 GiB for Cloud Run in a region; the product of memory and max instances is checked at deploy.",
        remedy="One instance of 32Gi fits, or two of 16Gi; lower --max-instances, or ask for more MemAllocPerProjectRegion.",
        patterns=(
            rf"Quota violated: MemAllocPerProjectRegion{_USED}",
            rf"MemAllocPerProjectRegion{_USED}",
            r"Max instances must be set to \d+ or fewer to set the requested total memory",
            r"total allowable memory per project per region",
        ),
        commands=("gcloud run services update {service} --max-instances=1 --region={region} --project={project}",),
        not_fix=("any IAM grant",),
        confidence=0.95,
    ),
    Row(
        code="cpu-quota",
        category="quota_capacity",
        subcategory="cpu_quota",
        title="CPU times max instances is above the region's quota",
        cause="A new project has 20 vCPU for Cloud Run in a region; the product of CPU and max instances is checked at deploy.",
        remedy="Lower --max-instances, or ask for more CpuAllocPerProjectRegion.",
        patterns=(
            rf"CpuAllocPerProjectRegion{_USED}",
            r"Max instances must be set to \d+ or fewer to set the requested total CPU",
            r"total allowable CPU per project per region",
        ),
        commands=("gcloud run services update {service} --max-instances=1 --region={region} --project={project}",),
        not_fix=("any IAM grant",),
        confidence=0.95,
    ),
    Row(
        code="gpu-quota-in-use",
        category="quota_capacity",
        subcategory="runtime_quota",
        title="All GPUs of the quota are in use",
        cause="Other warm instances in this region hold them; this service can't start one.",
        remedy="Lower min instances of idle GPU services, or ask for more quota.",
        patterns=(r"exceeded its quota limit for run\.googleapis\.com/(?:nvidia|gpu)\w+",),
        commands=("gcloud run services list --region={region} --project={project}",),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="region-not-opened",
        category="quota_capacity",
        subcategory="region_quota",
        title="The project may not use Cloud Run in this many regions",
        cause="A project has a limit of regions; this one would be above it.",
        remedy="Deploy in a region that the project uses already, or ask for more.",
        patterns=(r"Project failed to initialize in this region due to quota exceeded",),
        fix_kind="user_action",
        commands=("gcloud run services list --project={project}",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="no-instance",
        category="quota_capacity",
        subcategory="no_instance",
        title="No instance was free for the request",
        cause="Max instances was reached, concurrency is low, or a cold start took longer than the request waited.",
        remedy="Raise --concurrency or, within the GPU quota, --max-instances; clients should retry with growing pauses.",
        patterns=(r"request was aborted because (?:there (?:was|were) no|the rate of|no|of) .{0,80}",),
        commands=("gcloud run services update {service} --concurrency=4 --region={region} --project={project}",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="gpu-capacity",
        category="quota_capacity",
        subcategory="capacity",
        title="The region has no GPU free right now",
        cause="Capacity, not quota: Google has none left there at the moment.",
        remedy="Try again later, or deploy in another GPU region.",
        patterns=(
            r"(?:no|insufficient|not enough|out of) (?:GPU )?capacity",
            r"capacity is exhausted",
            r"ZONE_RESOURCE_POOL_EXHAUSTED",
            r"no (?:available|free) GPU",
            r"[Nn]ot enough (?:\w+ ){0,2}GPUs? (?:are )?(?:available|free)",
            r"(?:GPUs?|accelerators?) (?:is|are) (?:currently |temporarily )?(?:unavailable|exhausted|out of stock)",
            r"resources? exhausted in (?:the )?region",
        ),
        fix_kind="retry",
        not_fix=("any IAM grant", "more quota"),
        confidence=0.75,
    ),
    Row(
        code="rate-limit",
        category="quota_capacity",
        subcategory="rate",
        title="Too many calls in a short time",
        cause="A limit per minute was reached; nothing is wrong with the project.",
        remedy="Wait a minute; poll less often, with growing pauses.",
        patterns=(
            r"rateLimitExceeded",
            r"\bRate exceeded\b",
            r"exceeded the rate limit for (?:object mutation|creating)",
            r"Quota exceeded for quota metric '[^']{1,200}' and limit '[^']{0,80}(?:PerMinute|PerSecond|per minute|per second)",
            r"RATE_LIMIT_EXCEEDED",
        ),
        reasons=("RATE_LIMIT_EXCEEDED",),
        fix_kind="retry",
        not_fix=("any IAM grant",),
    ),
)
