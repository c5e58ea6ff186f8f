"""The codelab's job -> the job that gemmactl would make of it, each change with its reason. Makes no call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from finetune_image import seed_env
from finetune_image.contract import ENV_HF_TOKEN, ENV_TASK_SECONDS, ENV_USD_PER_HOUR, TuneFailed
from gemmactl import prices, spec_rules
from gemmactl.errors import usage
from gemmactl.kernel.resource import Resource
from gemmactl.resources import mark
from gemmactl.resources.context import BuildContext
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.job import Job
from gemmactl.resources.service_types import Container, EnvVar, GcsVolume, SecretEnv
from gemmactl.serving.modernise import Change
from gemmactl.spec import SecretRef
from gemmactl.stack_tune import job_of, tuning
from gemmactl.tune_spec import TASK_SECONDS, Tune

GEN2: Final = "EXECUTION_ENVIRONMENT_GEN2"
_WORKER: Final = "the script's image has trl 0.8.6 of 2024, starts anew at every attempt and loses SIGTERM to a shell"


@dataclass
class Modern:
    """The job with everything beside it that it needs now."""

    job: Job
    name: str
    """What it trains is called so."""
    changes: list[Change] = field(default_factory=list)
    beside: list[Resource] = field(default_factory=list)

    def set(self, why: str, what: str, was: object, now: object, **fields: Any) -> None:
        self.job = replace(self.job, **fields)
        self.changes.append(Change(what, str(was), str(now), why))


def modernise(job: Job, file: str, pins: Mapping[str, str], context: BuildContext | None = None) -> Modern:
    """`job` has its project and region; `pins`: secret as the file names it -> its newest version. What is right stays.

    Raises:
        Trouble: (usage) its container is not told what the codelab's is, or a variable of it can't be.
    """
    box = (job.containers or (Container(""),))[0]
    seed = _seed(box, file)
    made = Modern(job, seed.wish.name)
    _stack(made, seed, context)
    _stage(made)
    _mounts(made, seed.bucket)
    _variables(made, pins)
    _limits(made)
    _owner(made)
    made.changes += [Change(one.what, one.was, one.now, one.why) for one in seed.differences]
    return made


def _seed(box: Container, file: str) -> seed_env.Seed:
    plain = {one.name: one.value for one in box.env or () if isinstance(one, EnvVar)}
    if not seed_env.is_seed(plain):
        raise usage(
            f"{file} is not the codelab's job, or one like it",
            why=f"its container has no variable {seed_env.BUCKET_NAME}: --modernise would not know where its model goes",
            remedy=f"without --modernise it is applied as written; it knows {', '.join(seed_env.VARIABLES)}",
            code="yaml-not-the-codelabs",
        )
    try:
        return seed_env.read(plain)
    except TuneFailed as failed:
        said = failed.failure
        raise usage(
            f"{file}: variable {said.where}: {said.detail}",
            why="the worker reads it as the codelab's script did",
            remedy="; ".join(said.advice) or f"correct {file}",
            code="yaml-illegal",
        ) from None


def _stack(made: Modern, seed: seed_env.Seed, context: BuildContext | None) -> None:
    """The worker's image and what builds it; an account with two rights where the file names none."""
    job = made.job
    box = (job.containers or ())[0]
    token = next((one for one in box.env or () if isinstance(one, SecretEnv) and one.name == ENV_HF_TOKEN), None)
    reference = SecretRef(token.secret, str(token.version)) if token else None
    wish = Tune(job.project, job.region, made.name, seed.bucket, service_account=job.service_account, hf_token=reference)
    stack = tuning(wish, context=context)
    worker = job_of(stack)
    given = f"serviceAccount:{job.service_account}"
    made.beside = [
        one
        for one in stack
        # what a given account may do is the affair of whoever made it
        if one is not worker and not (isinstance(one, IamMember) and one.member == given)
    ]
    image = (worker.containers or ())[0].image
    others = (job.containers or ())[1:]
    made.set(
        _WORKER,
        "image",
        box.image,
        f"{str(image).rpartition('/')[2]}, built from gemmactl's own worker",
        containers=(replace(box, image=image, command=(), args=()), *others),
        after=tuple(one.address for one in made.beside),
    )
    if box.command or box.args:
        words = " ".join((*(box.command or ()), *(box.args or ())))
        made.changes.append(Change("command", words, "the image's own", "python3 as the first process gets SIGTERM and saves"))
    if job.service_account is None:
        made.set(
            "the default account may do far too much; this one may write the bucket and read the token",
            "serviceAccountName",
            "the project's default account",
            worker.service_account,
            service_account=worker.service_account,
        )


def _stage(made: Modern) -> None:
    job = made.job
    if job.launch_stage not in (None, "GA"):
        made.set("jobs with an L4 need no earlier stage any more", "launch-stage", job.launch_stage, "GA", launch_stage="GA")
    if job.gpu_type and not job.gpu_zonal_redundancy_disabled:
        why = "a job with a GPU has no zonal redundancy; unsaid, the quota that is asked for may be the one that a project lacks"
        made.set(why, "gpu-zonal-redundancy-disabled", "not said", "true", gpu_zonal_redundancy_disabled=True)
    if job.gpu_type and job.execution_environment != GEN2:
        made.set("a GPU needs it", "execution-environment", job.execution_environment or "not said", "gen2",
                 execution_environment=GEN2)  # fmt: skip


def _mounts(made: Modern, bucket: str) -> None:
    """The bucket is written to over the API: a mount of it is a second way that nothing uses."""
    job = made.job
    gone = {one.name for one in job.volumes or () if isinstance(one, GcsVolume) and one.bucket == bucket}
    if not gone:
        return
    boxes = tuple(replace(box, mounts=tuple(m for m in box.mounts or () if m.name not in gone)) for box in job.containers or ())
    made.set(
        "the worker writes shards itself, checksummed, whole or not at all; through a mount a crash leaves half a model",
        f"volume {', '.join(sorted(gone))}",
        f"gs://{bucket} mounted",
        "left out",
        volumes=tuple(one for one in job.volumes or () if one.name not in gone),
        containers=boxes,
    )


def _variables(made: Modern, pins: Mapping[str, str]) -> None:
    """What the worker is told beside the script's own variables, which stay as they are."""
    job = made.job
    box, *others = job.containers or ()
    env: list[EnvVar | SecretEnv] = []
    for one in box.env or ():
        number = pins.get(one.secret) if isinstance(one, SecretEnv) and one.version == "latest" else None
        if isinstance(one, SecretEnv) and number:
            why = "`latest` is read at every attempt: a new version would change a run that is under way"
            made.changes.append(Change(f"secret {one.secret}", "latest", f"version {number}", why))
            one = replace(one, version=number)  # noqa: PLW2901 - the pinned one takes its place
        env.append(one)
    told = {ENV_TASK_SECONDS: (str(job.timeout or TASK_SECONDS), "it saves and stops before an attempt's time is over")}
    hour = _hour(job, box)
    if hour is not None:
        told[ENV_USD_PER_HOUR] = (hour, "an hour of this container, so that status can say what was spent")
    known = {one.name for one in env}
    for name, (value, why) in told.items():
        if name not in known:
            env.append(EnvVar(name, value))
            made.changes.append(Change(name, "none", value, why))
    made.job = replace(job, containers=(replace(box, env=tuple(env)), *others))


def _limits(made: Modern) -> None:
    if made.job.timeout is None:
        why = "Cloud Run's default of 10 minutes would end an attempt before it has trained"
        made.set(why, "timeoutSeconds", "not said", TASK_SECONDS, timeout=TASK_SECONDS)


def _owner(made: Modern) -> None:
    labels = dict(made.job.labels or ())
    if missing := mark.missing(labels, made.name):
        now = ", ".join(f"{key}={value}" for key, value in sorted(missing.items()))
        said = tuple(sorted({**labels, **missing}.items()))
        made.set("finetune status, cancel and destroy know their own by it", "labels", "none", now, labels=said)


def _hour(job: Job, box: Container) -> str | None:
    size = box.resources
    if size is None or not (job.gpu_type and size.cpu and size.memory):
        return None
    price = prices.per_hour(job.gpu_type, float(size.cpu.removesuffix("m")) / (1000 if size.cpu.endswith("m") else 1),
                            spec_rules.gib(size.memory), job.region)  # fmt: skip
    return None if price.usd is None else f"{price.usd:.4f}".rstrip("0").rstrip(".")
