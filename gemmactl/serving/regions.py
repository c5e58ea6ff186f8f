"""`gemmactl regions`: reads limits, services and the bucket's place, and tells where a model can run. Knows no column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from shlex import quote
from typing import Any, Final

from gemmactl import regions as geography
from gemmactl import spec_rules
from gemmactl.doctor import permissions
from gemmactl.errors import Exit, Trouble, usage
from gemmactl.kernel.plan import api_disabled
from gemmactl.limits import GPUS
from gemmactl.resources import quota
from gemmactl.resources.bucket import elsewhere
from gemmactl.resources.cloud import BucketInfo, Json, QuotaLimit
from gemmactl.result import Result
from gemmactl.serving import regions_screen as screen
from gemmactl.serving.fitting import narrowed
from gemmactl.serving.offers import Known, Offer, Room, Wanted, offers
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.spec import Model, parse_model

DENIED: Final = (403, 404)
CALLERS: Final = ("The caller does not have permission",)
"""Google's sentence for a denial that names no permission."""


@dataclass(frozen=True)
class Question:
    """What the user wants to know. `sizes`: one instance by GPU, where somebody derived it from the model."""

    model: Model | None = None
    wanted: Wanted = field(default_factory=Wanted)
    everything: bool = False
    """Also what can't be used, and why."""
    enable_api: bool = False


@dataclass(frozen=True)
class Reading:
    """What was read, and what could not be: by name of the thing, with the way out."""

    known: Known
    missing: Mapping[str, Trouble]


def asked(settings: Settings, flags: Mapping[str, Any]) -> Question:
    """Flags and settings as one question.

    Raises:
        Trouble: (usage) no such GPU, no such region, MODEL is none of the three forms.
    """
    model = flags.get("model") or (found.text if (found := settings.value("model")) else "")
    gpu = settings.value("gpu_type", flags.get("gpu_type"))
    gpus = (spec_rules.gpu(gpu.text).name,) if gpu else tuple(GPUS)
    region = settings.region(flags.get("region"))
    if region.origin != "default" and not geography.known(region.text):
        raise usage(
            f"{region.text!r} is not a region of Google Cloud ({region.origin})",
            why="a region is called like us-central1 or europe-west4",
            remedy="leave --region out to see all of them",
            code="region-unknown",
        )
    wanted = Wanted(
        gpus=gpus,
        first=region.text if flags.get("region") else "",
        near=region.text,
    )
    return Question(parse_model(model) if model else None, wanted, bool(flags.get("everything")), bool(flags.get("enable_api")))


def regions(place: Place, question: Question) -> Result:
    """The offers; exit 6 when none can be used for sure or as things stand."""
    if question.enable_api:
        place.cloud.apis.enable((quota.API,))
    unsized = None
    if question.model is not None:
        wanted, unsized = narrowed(question.wanted, question.model, place)
        question = replace(question, wanted=wanted)
    reading = read(place, question)
    if unsized is not None:
        reading = replace(reading, missing={**reading.missing, "size of the model": unsized})
    found = offers(reading.known, question.wanted)
    usable = [offer for offer in found if offer.room <= Room.SHARED]
    problems = () if usable else (nothing(reading, found),)
    return Result(
        "regions",
        screen.document(place, question.model, reading.known, reading.missing, found),
        screen.blocks(place, question.model, reading.known, reading.missing, found, everything=question.everything),
        (_deploy(place, question, usable[0]),) if usable else (),
        place.target,
        Exit.OK if usable else Exit.FOUND,
        problems,
    )


def read(place: Place, question: Question) -> Reading:
    """Limits once, the services of every GPU region, the bucket: all at the same time.

    Raises:
        Trouble: the cloud can't be reached or nobody is logged in. What is only denied is in `missing`.
    """
    cloud, model = place.cloud, question.model
    names = sorted({region for gpu in question.wanted.gpus for region in GPUS[gpu].regions})
    with ThreadPoolExecutor(len(names) + 2) as pool:
        limits = pool.submit(_or_trouble, lambda: cloud.quotas.limits(quota.IDS))
        bucket = pool.submit(_or_trouble, lambda: cloud.storage.bucket(model.bucket)) if model and model.bucket else None
        lists = list(pool.map(lambda region: _or_trouble(lambda: cloud.run.list(region)), names))
    missing: dict[str, Trouble] = {}
    told: tuple[QuotaLimit, ...] | None
    if isinstance(answer := limits.result(), Trouble):
        missing["quotas"], told = unreadable(answer, place, model), None
    else:
        told = answer
    answers = dict(zip(names, lists, strict=True))
    listed = {region: services for region, answer in answers.items() if (services := _services(answer)) is not None}
    if unlisted := [region for region in names if region not in listed]:
        missing[f"what runs in {', '.join(unlisted)}"] = permitted(answers[unlisted[0]])
    uses = {region: quota.uses(services) for region, services in listed.items()}
    home = bucket.result() if bucket else None
    if model and isinstance(home, Trouble):
        home = elsewhere(model.bucket, home) or home
    if isinstance(home, BucketInfo):
        return Reading(Known(told, uses, home.location, home.pair), missing)
    if model and bucket:
        missing[f"where bucket {model.bucket} is"] = permitted(home) if home else _no_bucket(model.bucket)
    return Reading(Known(told, uses), missing)


def _services(answer: Any) -> tuple[Json, ...] | None:
    """The services of a region; none while the API is off; None when the caller may not see them."""
    if isinstance(answer, Trouble):
        return () if api_disabled(answer) else None
    found: tuple[Json, ...] = answer
    return found


def _or_trouble(ask: Any) -> Any:
    """The answer, or the refusal of this one call; what would stop every call is raised."""
    try:
        return ask()
    except Trouble as trouble:
        if trouble.facts.get("status") in DENIED or trouble.code == "bucket-of-another-project":
            return trouble
        raise


def unreadable(trouble: Trouble, place: Place, model: Model | None) -> Trouble:
    """Why the limits can't be read, with the one line that cures it."""
    if api_disabled(trouble):
        why = f"the Cloud Quotas API ({quota.API}) is not enabled in project {place.project.text}"
        which = f" {quote(model.text)}" if model else ""
        remedy = f"gemmactl regions{which} --enable-api --project {place.project.text}"
    elif trouble.facts.get("permission") == quota.PERMISSION or trouble.facts.get("message") in CALLERS:
        who = place.cloud.caller() or "user:YOUR_ACCOUNT"
        why = f"{who} lacks {quota.PERMISSION} on project {place.project.text}"
        bind = f"gcloud projects add-iam-policy-binding {place.id} --member={who} --role={quota.VIEWER}"
        remedy = f"ask an owner for {quota.VIEWER}:\n{bind}"
    else:
        why, remedy = trouble.why, trouble.remedy
    facts = {"api": quota.API, "cause": trouble.code}
    return Trouble("the quota limits are unknown", why=why, remedy=remedy, code="quotas-unknown", facts=facts)


def permitted(trouble: Trouble) -> Trouble:
    """The refusal with the least role that cures it, where it names a permission."""
    row = permissions.least(str(trouble.facts.get("permission", "")))
    remedy = f"ask for {row.role} on the {row.scope}" if row else trouble.remedy
    return Trouble(trouble.what, why=trouble.why, remedy=remedy, code=trouble.code, facts=trouble.facts)


def _no_bucket(name: str) -> Trouble:
    return Trouble(
        f"there is no bucket {name}",
        why="Cloud Storage knows no bucket of this name",
        remedy="check the name: MODEL is gs://BUCKET/FOLDER",
        code="bucket-missing",
    )


def nothing(reading: Reading, found: Iterable[Offer]) -> Trouble:
    """Why no row can be used."""
    if "quotas" in reading.missing:
        return reading.missing["quotas"]
    unknown = [offer for offer in found if offer.room is Room.UNKNOWN]
    if unknown and reading.missing:
        name, trouble = next(iter(reading.missing.items()))
        return Trouble(f"{name} is unknown", why=trouble.why, remedy=trouble.remedy, code="room-unknown", facts=trouble.facts)
    unasked = all(not offer.gpus.limit for offer in found)
    first = "the first GPU deployment of a region is given 3 where the billing account is neither new nor on trial; else "
    return Trouble(
        "no region has room for one instance now",
        why="the GPU quota is 0 everywhere" if unasked else "each region lacks what --all shows",
        remedy=f"{first if unasked else ''}ask for more: {screen.ASK}",
        code="no-room",
        facts={"ask": screen.ASK},
    )


def _deploy(place: Place, question: Question, best: Offer) -> str:
    """What to type now for the best row."""
    model = quote(question.model.text) if question.model else "MODEL"
    return f"gemmactl deploy {model} --region {best.region} --gpu-type {best.gpu.name} --project {place.project.text}"
