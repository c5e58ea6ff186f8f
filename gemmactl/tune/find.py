"""The fine-tunes of a project, and which one a command means: jobs with our label, and their buckets. Makes read calls only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetune_image.contract import ENV_RUN, RUNS
from finetune_image.seed_env import BUCKET_NAME, NEW_MODEL, named
from gemmactl.errors import Trouble, usage
from gemmactl.resources import names
from gemmactl.resources.cloud import Json
from gemmactl.resources.mark import NAME_LABEL, marked
from gemmactl.serving.place import Place

GS: Final = "gs://"


@dataclass(frozen=True)
class Tune:
    """One name: the bucket with its runs and models, and its job as v2 JSON, if there is one."""

    name: str
    bucket: str
    job: Json | None = None

    @property
    def job_name(self) -> str:
        """The job's full name, or ``."""
        return str(self.job.get("name", "")) if self.job else ""

    @property
    def short(self) -> str:
        return self.job_name.rpartition("/")[2]

    @property
    def runs(self) -> str:
        """Prefix of its runs in the bucket, with a slash at the end."""
        return f"{RUNS}/{self.name}/"

    @property
    def run_id(self) -> str:
        """The run that the job is set to, or `` where the worker finds it out itself."""
        return variable(self.job or {}, ENV_RUN).rstrip("/").rpartition("/")[2]


def container(job: Mapping[str, Any]) -> Json:
    """A job's first container."""
    found: Json = next(iter(job.get("template", {}).get("template", {}).get("containers", ())), {})
    return found


def variable(job: Mapping[str, Any], name: str) -> str:
    """A plain variable of its container, or ``."""
    return next((str(e.get("value", "")) for e in container(job).get("env", ()) if e.get("name") == name), "")


def is_tune(job: Mapping[str, Any]) -> bool:
    """Whether it is a fine-tune: one of ours, or the codelab's as its YAML says, which carries no label."""
    if variable(job, BUCKET_NAME) and variable(job, NEW_MODEL):
        return True
    return marked(job.get("labels", {})) and bool(variable(job, ENV_RUN) or variable(job, BUCKET_NAME))


def of_job(job: Json, place: Place) -> Tune:
    """What a job of ours trains, by its label and its variables."""
    run, bucket = variable(job, ENV_RUN), variable(job, BUCKET_NAME)
    label = str(job.get("labels", {}).get(NAME_LABEL, ""))
    name = label or named(variable(job, NEW_MODEL)) or str(job.get("name", "")).rpartition("/")[2].removeprefix("finetune-")
    if run.startswith(GS):
        bucket = run.removeprefix(GS).partition("/")[0]
    return Tune(name, bucket.removeprefix(GS).strip("/") or home(place), job)


def home(place: Place) -> str:
    """The bucket where runs and models are, unless somebody chose another one."""
    return names.bucket(place.id, "models", place.region.text)


def everything(place: Place) -> tuple[Tune, ...]:
    """Every name of the region: those that have a job, and those of which only runs are left."""
    with_job = [of_job(job, place) for job in place.cloud.jobs.list(place.region.text) if is_tune(job)]
    tunes = {(one.bucket, one.name): one for one in with_job}
    for bucket in sorted({home(place), *(bucket for bucket, _ in tunes)}):
        for name in _kept(place, bucket):
            tunes.setdefault((bucket, name), Tune(name, bucket))
    return tuple(sorted(tunes.values(), key=lambda one: (one.name, one.bucket)))


def tune(place: Place, name: str | None) -> Tune:
    """The one that is meant: as said, else the only one.

    Raises:
        Trouble: (usage) nothing says which; there is none of that name.
    """
    found = everything(place)
    if name is not None:
        named_so = [one for one in found if name in (one.name, one.short)]
        if len(named_so) > 1:  # two buckets, or a job of another name beside ours: the one that can be run
            own = [one for one in named_so if one.short == names.tune_job(name)] or [one for one in named_so if one.job]
            named_so = own or named_so
        if named_so:
            return named_so[0]
        raise Trouble(
            f"there is no fine-tune {name}",
            why=f"project {place.project.text} has neither a job nor runs of that name in region {place.region.text}",
            remedy=f"gemmactl finetune list {place.flags} shows what is there",
            code="finetune-missing",
            facts={"name": name},
        )
    if len(found) == 1:
        return found[0]
    if not found:
        raise usage(
            "nothing was fine-tuned here",
            why=f"project {place.project.text} has neither jobs nor runs of ours in region {place.region.text}",
            remedy=f"gemmactl finetune run DATA {place.flags}, or name another --region",
            code="finetune-none",
        )
    raise usage(
        f"{len(found)} fine-tunes could be meant",
        why=", ".join(one.name for one in found),
        remedy="name one of them",
        code="finetune-ambiguous",
    )


def _kept(place: Place, bucket: str) -> tuple[str, ...]:
    """Names that have a run's folder in a bucket; a bucket that is not there has none."""
    try:
        there = place.cloud.storage.list(bucket, f"{RUNS}/")
    except Trouble as trouble:
        if trouble.facts.get("status") == 404:
            return ()
        raise
    parts = (one.name.removeprefix(f"{RUNS}/").split("/") for one in there)
    return tuple(dict.fromkeys(part[0] for part in parts if len(part) > 2))
