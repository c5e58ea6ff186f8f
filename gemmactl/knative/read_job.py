"""A job's document, the file of `gcloud run jobs replace` -> a Job with every field of it. Knows no cloud and no file system.

source: gcloud 528's k8s_object.py, job.py, execution.py: a job's own annotations stand at the job, those of its tasks at
spec.template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gemmactl.errors import usage
from gemmactl.knative import about, containers, words
from gemmactl.knative.tree import Fields, parse
from gemmactl.resources.job import Job


@dataclass(frozen=True)
class ReadJob:
    """A file as a wish. `job` has no project yet, and no region unless the file names one."""

    job: Job
    file: str
    notes: tuple[str, ...] = ()
    """What was repaired or left out, one sentence each."""
    namespace: str = ""
    """The project's id or number, where the file says one."""

    @property
    def region(self) -> str:
        return self.job.region


def read_job(raw: str, file: str, environ: Mapping[str, str]) -> ReadJob:
    """Read one job.

    Raises:
        Trouble: (usage) not YAML, variables that are not set, or fields that are unknown or illegal, with their lines.
    """
    root, repaired = parse(raw, file, environ, "job")
    notes = list(repaired)
    top = root.fields()
    version, kind = top.must("apiVersion").text(), top.must("kind").text()
    if (version, kind) != (words.JOB_API_VERSION, words.JOB_KIND):
        service = (version, kind) == (words.API_VERSION, words.KIND)
        raise usage(
            f"{file} is not the YAML of a Cloud Run job",
            why=f"it says apiVersion {version or 'nothing'} and kind {kind or 'nothing'}; read is {words.JOB_API_VERSION} and"
            f" {words.JOB_KIND}",
            remedy=f"a service's file: gemmactl deploy --from-yaml {file}"
            if service
            else "give the file that `gcloud run jobs replace` takes",
            code="yaml-not-a-job",
        )
    meta, spec = top.must("metadata").fields(), top.must("spec").fields()
    if top.take("status") is not None:
        notes.append("status is the server's own and left out")
    top.done()
    head = about.head(meta, notes)
    stage = head.marks.take(words.LAUNCH_STAGE)
    head.marks.done(words.NOT_CARRIED)
    said_stage = stage.choice(words.STAGES) if stage else None
    job = _execution(spec, Job("", head.region, head.name, labels=head.labels, launch_stage=said_stage), notes)
    root.complaints.end()
    return ReadJob(job, file, tuple(notes), head.namespace)


def _execution(spec: Fields, job: Job, notes: list[str]) -> Job:
    """What every execution of it is: how many tasks, and the annotations of its tasks."""
    template = spec.must("template").fields()
    spec.done(words.NOT_CARRIED)
    inner, body = about.inner(template)
    for label, node in about.own(inner.take("labels"), notes).items():
        node.bad(f"is not carried by gemmactl: `gcloud run jobs replace` labels an execution with {label}")
    marks = about.marks(inner, notes)
    environment, redundancy = marks.take(words.EXECUTION_ENVIRONMENT), marks.take(words.REDUNDANCY_DISABLED)
    key = marks.take(words.ENCRYPTION_KEY)
    aliases = about.aliases(marks.take(words.SECRETS))
    vpc = about.vpc(marks)
    marks.done(words.NOT_CARRIED)
    inner.done()
    parallelism, count = body.take("parallelism"), body.take("taskCount")
    task = body.must("template").fields()
    body.done(words.NOT_CARRIED)
    inside = task.must("spec").fields()
    task.done(words.NOT_CARRIED)
    return _task(
        inside,
        aliases,
        replace(
            job,
            parallelism=parallelism.number() if parallelism else None,
            task_count=count.number() if count else None,
            execution_environment=environment.choice(words.ENVIRONMENTS) if environment else None,
            gpu_zonal_redundancy_disabled=redundancy.switch() if redundancy else None,
            encryption_key=key.text() if key else None,
            vpc=vpc,
        ),
    )


def _task(task: Fields, aliases: Mapping[str, str], job: Job) -> Job:
    retries, timeout, account = task.take("maxRetries"), task.take("timeoutSeconds"), task.take("serviceAccountName")
    gpu, boxes, volumes = about.gpu(task), task.must("containers").list(), about.volumes(task, aliases)
    task.done(words.NOT_CARRIED)
    return replace(
        job,
        containers=tuple(containers.container(node, aliases) for node in boxes),
        volumes=volumes,
        max_retries=retries.number() if retries else None,
        timeout=timeout.number() if timeout else None,
        service_account=account.text() if account else None,
        gpu_type=gpu,
    )
