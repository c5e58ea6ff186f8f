"""A job's own YAML against the cloud: read, brought up to date where asked, looked at with what it names. Read calls only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_image.seed_env import BUCKET_NAME
from gemmactl.errors import Trouble, refused
from gemmactl.kernel.plan import api_disabled
from gemmactl.kernel.resource import Resource
from gemmactl.knative.read_job import ReadJob, read_job
from gemmactl.resources import apis, names
from gemmactl.resources.apis import Apis
from gemmactl.resources.context import BuildContext
from gemmactl.resources.job import Job
from gemmactl.resources.mark import marked
from gemmactl.resources.service_types import GcsVolume, SecretEnv
from gemmactl.result import Block, Item, Line
from gemmactl.serving import yaml_file
from gemmactl.serving.grounding import Grounded, survey
from gemmactl.serving.modernise import Change
from gemmactl.serving.place import Place
from gemmactl.serving.yaml_checks import Remark
from gemmactl.settings import Settings, Value
from gemmactl.tune.find import variable
from gemmactl.tune.modernise import modernise
from gemmactl.voice import Voice

NEEDED = ("run.googleapis.com",)


@dataclass(frozen=True)
class Sheet:
    """A file after a look at the cloud: what it asks for, and what should be known. `name`: what it trains; `` as written."""

    found: ReadJob
    stack: tuple[Resource, ...]
    remarks: tuple[Remark, ...]
    changes: tuple[Change, ...] = ()
    name: str = ""

    @property
    def job(self) -> Job:
        return next(r for r in self.stack if isinstance(r, Job))

    def document(self) -> dict[str, Any]:
        return {
            "job": self.job.name,
            "name": self.name,
            "file": self.found.file,
            "notes": list(self.found.notes),
            "remarks": [remark.document() for remark in self.remarks],
            "modernised": [change.document() for change in self.changes],
        }

    def blocks(self) -> tuple[Block, ...]:
        remarks = tuple(Item("?", r.what, (r.remedy,) if r.remedy else (), "warn") for r in self.remarks)
        changes = tuple(Item("~", f"{c.field}: {c.was} -> {c.now}", (c.why,)) for c in self.changes)
        said = f"as {self.found.file} says" + f", with {len(changes)} changes of --modernise" * bool(changes)
        return (Line(f"job {self.job.name} · {said}"), *changes, *remarks)


def opened(
    path: Path, environ: Mapping[str, str], voice: Voice, settings: Settings, project: str | None, region: str | None
) -> tuple[ReadJob, tuple[Value, Value]]:
    """The file, with what was repaired in it said at once, and the project and region that it and the flags name.

    Raises:
        Trouble: (usage) the file can't be read, or contradicts a flag.
    """
    found = read_job(yaml_file.text_of(path, "job"), str(path), environ)
    for note in found.notes:
        voice.say(Line(f"{found.file}: {note}", "dim"))
    return found, yaml_file.whereabouts(found, settings, project, region)


def look(found: ReadJob, place: Place, *, modern: bool, context: BuildContext | None = None) -> tuple[Sheet, Grounded]:
    """The file against the cloud; read calls only.

    Raises:
        Trouble: it is another project's; with `modern`, it is no job that could be brought up to date.
    """
    yaml_file.agree(found, place.id, place.cloud.number() if found.namespace.isdigit() else "")
    job = replace(found.job, project=place.id, region=place.region.text, after=(apis.ADDRESS,))
    made = modernise(job, found.file, _newest(job, place), context) if modern else None
    job, beside, changes = (made.job, made.beside, made.changes) if made else (job, [Apis(NEEDED)], [])
    remarks = tuple(_remarks(job))
    live = _live(job, place)
    if live is not None and not marked(live.get("labels", {})):
        said = f"job {job.name} is there already, and gemmactl did not make it: the file is laid over what it is now"
        remarks = (*remarks, Remark("job-there", said, "the plan below shows every field that changes"))
    stack: tuple[Resource, ...] = (*beside, job)
    sheet = Sheet(found, stack, remarks, tuple(changes), made.name if made else "")
    bucket = variable(job.body(), BUCKET_NAME) or next((v.bucket for v in job.volumes or () if isinstance(v, GcsVolume)), "")
    return sheet, survey(stack, place, bucket=bucket, live=live is not None)


def require_runnable(sheet: Sheet, place: Place) -> None:
    """The sandbox has no image but those that gemmactl builds there.

    Raises:
        Trouble: (refused) the file's own image can't run in the sandbox.
    """
    if place.target == "sandbox" and not sheet.name:
        raise refused(
            "the sandbox can't run this image",
            why="it starts gemmactl's own worker on this machine; the file's container needs its own image and a GPU",
            remedy="--modernise puts gemmactl's worker into it; --dry-run shows the plan of the file as it is",
            code="engine-not-in-sandbox",
        )


def _newest(job: Job, place: Place) -> dict[str, str]:
    """Newest version of each secret that the file takes as `latest`; those that can't be looked at stay open."""
    found = {}
    for box in job.containers or ():
        for one in box.env or ():
            if isinstance(one, SecretEnv) and one.version == "latest" and one.secret not in found:
                found[one.secret] = _version(names.secret(place.id, one.secret)[0], place)
    return {secret: number for secret, number in found.items() if number}


def _version(full: str, place: Place) -> str:
    try:
        return place.cloud.newest_version(full) or ""
    except Trouble as trouble:
        if trouble.facts.get("status") == 403 or api_disabled(trouble):
            return ""
        raise


def _live(job: Job, place: Place) -> dict[str, Any] | None:
    try:
        return place.cloud.jobs.get(job.full_name)
    except Trouble as trouble:
        if api_disabled(trouble):
            return None
        raise


def _remarks(job: Job) -> list[Remark]:
    """What the file leaves to Cloud Run, where that surprises."""
    found = []
    if job.service_account is None:
        found.append(
            Remark(
                "account-open",
                "serviceAccountName is not there: it runs as the project's default account, which often may do far too much",
                "name an account, or use --modernise, which makes one that may write the bucket alone",
            )
        )
    if job.timeout is None:
        found.append(Remark("timeout-open", "timeoutSeconds is not there: Cloud Run ends an attempt after 10 minutes", "add it"))
    if job.gpu_type and not job.gpu_zonal_redundancy_disabled:
        found.append(
            Remark(
                "redundancy-open",
                "run.googleapis.com/gpu-zonal-redundancy-disabled is not there: a job with a GPU has no zonal redundancy",
                "add it as 'true' to spec.template.metadata.annotations if Cloud Run refuses the job",
            )
        )
    return found
