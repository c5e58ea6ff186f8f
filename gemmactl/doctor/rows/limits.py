"""Quotas and limits of every API: rates, counts, capacity, sizes. Knows where to ask for more, not how much there is."""

from __future__ import annotations

from functools import partial
from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, HIDES, LAST, Row
from gemmactl.doctor.rows.refusal import refused

_LIST: Final = "gcloud beta quotas info list --service=run.googleapis.com --project={project}"


_limit: Final = partial(refused, category="quota_capacity", fix_kind="user_action")


_GOOGLE: Final = r"google|gcloud|\b[a-z]+\.googleapis|projects?\b|Cloud (?:Run|Build|Storage)|RESOURCE_EXHAUSTED"

ROWS: Final[tuple[Row, ...]] = (
    _limit(
        "project-count",
        "projects",
        "No more projects, or no more projects on this billing account",
        "An account may have so many projects, and a billing account so many linked to it.",
        "Unlink or delete projects that are not needed, or ask for more.",
        r"billing quota\b.{0,40}(?:exceed|reach)|billing_quota_increase",
        r"(?:allotted|allowed|maximum) (?:project quota|number of projects)",
        r"exceeded .{0,40}project quota|project (?:creation )?(?:quota|limit)\b.{0,40}(?:exceed|reach)",
        r"(?:too many|maximum number of|limit (?:of|on)) (?:enabled |linked |the )?projects\b.{0,80}",
        only_with=r"exceed|reach|too many|limit|billing_quota|maximum",
    ),
    _limit(
        "run-allocation",
        "runtime_quota",
        "The project has no more CPU, memory or instances of Cloud Run in this region",
        "What runs now uses the whole quota, so that no instance can be started.",
        "Lower --max-instances or --min-instances of other services, or ask for more.",
        r"exceeded its quota limit for run\.googleapis\.com/(?!nvidia|gpu)\w+",
        r"(?:[Qq]uota limit|[Qq]uota) (?:for|of) (?:run\.googleapis\.com/)?(?:cpu|memory|mem|instance)_?\w{0,60}\b.{0,60}",
        r"(?:concurrent|parallel) (?:builds?|executions?|tasks?|operations?) (?:quota|limit)\b.{0,80}",
        r"instance (?:limit|quota)\b.{0,60}(?:exceeded|reached|hit)",
        r"(?:container|maximum) instance (?:count )?limit",
        r"not able to scale to incoming requests",
        commands=("gcloud run services list --region={region} --project={project}",),
        only_with=r"exceed|reach|limit",
    ),
    _limit(
        "quota-preference",
        "quota_request",
        "The request for more quota was not granted",
        "Usually there is too little use or payment history; new and trial accounts are refused most.",
        "Use what is granted for a while, pay a first invoice, then ask again with a reason, or another region.",
        r"NOT_ENOUGH_USAGE_HISTORY|QUOTA_INCREASE_REQUEST\w{0,40}|\bgrantedValue\b",
        r"[Qq]uota (?:increase|adjustment|preference|request)\w{0,3}\b.{0,120}(?:denied|rejected|refused|not (?:granted|"
        r"approved|eligible|able)|failed|declined|unable)",
        r"(?:unable|not able|cannot|can't) (?:to )?(?:grant|approve|increase) .{0,60}quota",
        r"(?:denied|rejected|declined) .{0,60}quota (?:increase|request)",
        only_with=r"quota|USAGE_HISTORY|grantedValue",
    ),
    _limit(
        "count-limit",
        "count",
        "There are as many of these as may be",
        "Service accounts, keys, services, jobs, revisions, secrets, tags, triggers and roles are counted for each"
        " project or region.",
        "Delete what is not needed, or ask for more.",
        r"(?:[Mm]aximum|[Mm]ax|allowed|permitted) (?:allowed )?(?:number|count|"
        r"amount) of [\w -]{3,80}\b.{0,80}(?:reached|exceeded|already)",
        r"(?:reached|exceeds?|exceeded|hit|above|over) (?:the |its |your )?(?:\w+ ){0,3}?(?:limit|maximum|max|cap|"
        r"quota) (?:number )?(?:of|for|on) .{3,100}",
        r"[Tt]oo many (?:services|jobs|revisions|executions|tasks|secrets|versions|tags|triggers|keys|service accounts|"
        r"custom roles|members|bindings|"
        r"instances|connectors|domains|repositories|builds|operations|concurrent \w+|routes|networks|env\w*|volumes|"
        r"labels|containers|projects)\b",
        r"[Ll]imit (?:of|is) \d[\d,]{0,12} [\w -]{3,60}(?:reached|exceeded|per|for|in|already)",
        r"(?:number|count) of [\w -]{3,60}(?:exceeds?|is above|is over|reached) .{0,40}(?:limit|quota|maximum|allowed)",
        r"[Ii]nsufficient (?:regional )?quota|[Ii]nsufficientQuota|not enough quota",
        only_with=_GOOGLE,
        unless=r"Memory limit of|maxScale may not exceed|must be between|"
        r"INVALID_ARGUMENT.{0,80}(?:bytes|length|characters)|token|VPC network",
        rank=HIDES,
        confidence=0.7,
    ),
    _limit(
        "compute-quota",
        "compute_quota",
        "A quota of Compute Engine was reached",
        "Machines, addresses, disks or GPUs of Compute Engine: they count apart from Cloud Run's.",
        "Free some, choose another region or machine, or ask for more.",
        r"Quota ['\"]?(?-i:[A-Z][A-Z0-9_]{2,80})['\"]? exceeded",
        r"\b(?:GPUS_ALL_REGIONS|CPUS_ALL_REGIONS|NVIDIA_\w{2,30}_GPUS|PREEMPTIBLE_\w{3,40}|IN_USE_ADDRESSES|"
        r"SSD_TOTAL_GB|C[0-9]D?_CPUS|N[0-9]D?_CPUS)\b.{0,120}",
        r"exceeds (?:the )?(?:regional |global )?quota\b",
        r"Limit: \d+(?:\.\d+)? (?:in region|globally)",
        only_with=r"exceed|insufficient|limit|not enough",
    ),
    _limit(
        "stockout",
        "capacity",
        "Google has none free there at the moment",
        "Capacity, not quota: the machines of this kind are taken.",
        "Try again later, or another region.",
        r"(?:does|do) not have (?:enough|sufficient) (?:resources|capacity)",
        r"(?:ZONE|REGION)_RESOURCE_POOL_EXHAUSTED\w{0,20}|STOCKOUT|RESOURCE_POOL_EXHAUSTED",
        r"(?:capacity|resources?|GPUs?|accelerators?) (?:is|are|was|were) (?:currently |temporarily |"
        r"not )?(?:un)?available (?:in|at|for|right|now).{0,60}",
        r"(?:no|insufficient|lack of|out of|limited|not enough|without) (?:\w+ ){0,3}capacity\b",
        r"no (?:more )?(?:GPUs?|accelerators?|machines?) (?:are |is )?(?:currently )?(?:available|free|left)",
        r"[Rr]esource exhausted\b.{0,40}try again",
        r"(?:could not|unable to|failed to) (?:be )?(?:provision|allocate|schedule|obtain|acquire)\w{0,2} .{0,60}(?:GPU|"
        r"accelerator|capacity|instance)",
        fix_kind="retry",
        only_with=_GOOGLE + r"|GPU|region|zone",
        unless=r"CUDA|torch|KV cache|vllm|disk",
        rank=HIDES,
        confidence=0.7,
    ),
    _limit(
        "rate-reached",
        "rate",
        "Too many calls in a short time, said in another way",
        "A limit by the minute, the second or the day; it passes.",
        "Wait, then call less often with growing pauses; fewer at once.",
        r"(?:userRateLimitExceeded|dailyLimitExceeded|rateLimitExceeded|concurrentLimitExceeded|quotaExceeded|"
        r"rate_limit_exceeded|RateLimitError)\b",
        r"(?:INSUFFICIENT_TOKENS|QUOTA_EXCEEDED|RATE_LIMIT_\w{3,20})\b",
        r"exceeded (?:the |its |your )?(?:[\w-]+ ){0,3}?rate limit",
        r"rate limit (?:was |has been |is )?(?:exceeded|reached|hit)",
        r"[Tt]oo [Mm]any [Rr]equests\b",
        r"(?:requests?|queries|calls|writes|reads|mutations) per (?:minute|second|day|100 seconds)\b.{0,100}(?:exceed|"
        r"limit|reach)",
        r"(?:exceed\w{0,3}|limit|reached)\b.{0,100}(?:requests?|queries|calls|writes|reads|operations) per (?:minute|"
        r"second|day|100 seconds)",
        r"\b429\b.{0,60}(?:exhausted|quota|exceeded|too many|rate|slow)",
        r"(?:ResourceExhausted|TooManyRequests): 429",
        r"[Rr]educe your (?:request )?rate|SlowDown\b",
        reasons=("RATE_LIMIT_EXCEEDED",),
        fix_kind="retry",
        only_with=r"google|gcloud|projects?[/ '_]|\.run\.app|Cloud (?:Run|Build|Storage)|RESOURCE_EXHAUSTED|storage|429",
        unless=r"huggingface|hf\.co|docker\.io|toomanyrequests|github\.com|openai|pypi|no available instance",
        rank=CONSEQUENCE,
        confidence=0.7,
    ),
    _limit(
        "exhausted",
        "other",
        "Something of the project is used up",
        "RESOURCE_EXHAUSTED is the status of every quota, rate and capacity; the words beside it tell which.",
        "Read which quota it is; wait if it counts by the minute, else use less or ask for more.",
        r"RESOURCE_EXHAUSTED\b",
        r"ResourceExhausted\b|Resource has been exhausted",
        r"QuotaFailure\b",
        r"(?:quota|limit)\b.{0,40}(?:has been |was |is |been )?(?:exceeded|exhausted|depleted|reached)\b",
        r"(?:exceed\w{0,3}|exhaust\w{0,3}|over|out of|reached|insufficient) (?:the |your |its |of )?(?:[\w-]+ ){0,3}?quota\b",
        commands=(_LIST,),
        only_with=_GOOGLE,
        unless=r"grpc_message.{0,60}larger than max|message larger than|memory limit|Disk quota|huggingface",
        rank=LAST,
        confidence=0.55,
    ),
)
