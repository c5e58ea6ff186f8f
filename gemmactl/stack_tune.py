"""What a fine-tune is made of: wishes -> a named list of resources. Knows no cloud, no trainer and no execution of the job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from finetune_image.contract import ENV_HF_TOKEN, ENV_RUN, ENV_TASK_SECONDS, ENV_USD_PER_HOUR
from gemmactl import stack_access, stack_hands, stack_keys, stack_token
from gemmactl.kernel.reference import Digest
from gemmactl.kernel.resource import Resource
from gemmactl.resources import apis, mark, names
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import ModelBucket
from gemmactl.resources.built import TUNE_DOCKERFILE
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.context import BuildContext, stage
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.job import Job
from gemmactl.resources.secret import Secret
from gemmactl.resources.service_account import ServiceAccount, email_of
from gemmactl.resources.service_types import Container, EnvVar, Resources, SecretEnv
from gemmactl.tune_spec import Tune

TUNE_PACKAGES: Final = ("finetune_image", "inference_image")
NEEDED: Final = ("run", "iam", "logging", "storage", "cloudresourcemanager")
WRITER: Final = "roles/storage.objectUser"
"""Reads base and data, makes objects, replaces metrics and LATEST, removes old checkpoints; sets no policy and no bucket."""
READER: Final = "roles/storage.objectViewer"
READS: Final = "gemmactl/reads"
"""Annotation of the job: the other buckets that it may read, which no other field of it says."""


def tuning(spec: Tune, *, context: BuildContext | None = None, teardown: bool = False) -> tuple[Resource, ...]:
    """The stack that fine-tunes under one name: everything up to the job, which another call starts.

    `context` is read from the installed packages when it is not given. `teardown`: also the token's secret when no token is
    given. The bucket with runs and models is kept by every destroy: it is lasting.

    Raises:
        Trouble: the build context can't be read.
    """
    made = _Tuning(spec, context, teardown).resources()
    return stack_hands.given(spec, stack_keys.encrypted(spec, made, teardown=teardown))


def job_of(resources: tuple[Resource, ...]) -> Job:
    """The job of such a stack."""
    return next(one for one in resources if isinstance(one, Job))


@dataclass(frozen=True)
class _Tuning:
    """The parts of one fine-tune's stack by name."""

    spec: Tune
    given_context: BuildContext | None
    teardown: bool

    def resources(self) -> Iterator[Resource]:
        yield self.apis
        yield from self.build()
        yield from self.around()
        yield self.job()

    @cached_property
    def apis(self) -> Apis:
        wanted = [*NEEDED]
        if self.spec.image is None:
            wanted += ["artifactregistry", "cloudbuild"]
        if self.spec.hf_token is not None or self.teardown:
            wanted += ["secretmanager"]
        return Apis(tuple(f"{name}.googleapis.com" for name in wanted))

    # --- the image and what builds it -------------------------------------------------------------

    @cached_property
    def context(self) -> BuildContext:
        return self.given_context or stage(TUNE_PACKAGES)

    @cached_property
    def tag(self) -> str:
        return stack_hands.tag(self.spec, names.TUNE_IMAGE, self.context)

    def build(self) -> tuple[Resource, ...]:
        if self.spec.image is not None:
            return ()
        return stack_hands.building(self.spec, self.tag, self.context, teardown=self.teardown, dockerfile=TUNE_DOCKERFILE)

    # --- who it runs as, what it reads and writes ---------------------------------------------------

    @property
    def account(self) -> str:
        """E-mail of the account that the job runs as."""
        spec = self.spec
        return spec.service_account or email_of(names.tune_account(spec.project, spec.region, spec.name), spec.project)

    @property
    def own_account(self) -> tuple[ServiceAccount, ...]:
        spec = self.spec
        if spec.service_account is not None:
            return ()
        name = names.tune_account(spec.project, spec.region, spec.name)
        return (ServiceAccount(spec.project, name, f"gemmactl: fine-tunes {spec.name}"[:100], after=(apis.ADDRESS,)),)

    @property
    def bucket(self) -> tuple[ModelBucket, ...]:
        """A bucket of the user's own is there already, and nothing but a grant is made on it."""
        spec = self.spec
        if spec.bucket != names.bucket(spec.project, "models", spec.region):
            return ()
        return (ModelBucket(spec.bucket, spec.region, after=(apis.ADDRESS,)),)

    @cached_property
    def token(self) -> stack_token.Given:
        spec = self.spec
        name = spec.token_secret or names.token_secret(names.tune_job(spec.name), spec.region)
        return stack_token.Given(spec.project, spec.region, name, spec.hf_token, rotate=spec.rotate_hf_token)

    @cached_property
    def token_secret(self) -> Secret | None:
        return stack_token.secret(self.token, teardown=self.teardown)

    @cached_property
    def token_variable(self) -> tuple[str, SecretEnv] | None:
        return stack_token.variable(self.token, ENV_HF_TOKEN, self.token_secret)

    def grants(self) -> Iterator[IamMember]:
        member = f"serviceAccount:{self.account}"
        first = (apis.ADDRESS, *(one.address for one in self.own_account))
        roles = {self.spec.bucket: WRITER} | {name: READER for name in self.spec.reads if name != self.spec.bucket}
        for bucket, role in roles.items():
            yield IamMember(PolicyTarget("bucket", bucket), role, member, after=(*first, f"bucket {bucket}"))
        ours = self.token_secret
        full = ours.full_name if ours is not None else self.token_variable[0] if self.token_variable is not None else None
        if full is not None:
            yield stack_token.accessor(full, member, (*first, *((ours.address,) if ours is not None else ())))

    def around(self) -> tuple[Resource, ...]:
        secret = () if self.token_secret is None else (self.token_secret,)
        return (*self.own_account, *self.bucket, *secret, *self.grants())

    # --- the job --------------------------------------------------------------------------------------

    def job(self) -> Job:
        spec = self.spec
        run = ((mark.RUN_LABEL, spec.run_uri.rpartition("/")[2]),) if spec.run_uri else ()
        image = [one.address for one in self.build() if one.kind == "image"]
        return Job(
            spec.project,
            spec.region,
            names.tune_job(spec.name),
            containers=(self._container(),),
            volumes=(),
            parallelism=1,
            task_count=1,
            max_retries=spec.retries,
            timeout=spec.timeout,
            service_account=self.account,
            gpu_type=spec.gpu_type,
            gpu_zonal_redundancy_disabled=True,
            execution_environment="EXECUTION_ENVIRONMENT_GEN2",
            vpc=stack_access.network(spec),
            annotations=((READS, " ".join(sorted(spec.reads))),) if spec.reads else (),
            labels=tuple(sorted(((mark.NAME_LABEL, spec.name), *mark.OURS, *run, *stack_hands.labels(spec)))),
            after=(apis.ADDRESS, *image, *(one.address for one in self.around())),
        )

    def _container(self) -> Container:
        spec = self.spec
        plain = {ENV_TASK_SECONDS: str(spec.timeout), **dict(spec.env)}
        if spec.run_uri:
            plain[ENV_RUN] = spec.run_uri
        if spec.usd_per_hour is not None:
            plain[ENV_USD_PER_HOUR] = f"{spec.usd_per_hour:.4f}".rstrip("0").rstrip(".")
        secret = () if self.token_variable is None else (self.token_variable[1],)
        image = Digest(self.tag, f"image {self.tag.rpartition('/')[2]}") if spec.image is None else spec.image
        return Container(
            image,
            # the image's own is said too: a job that was another's, or a YAML's, must not keep its command
            command=(),
            args=(),
            env=(*(EnvVar(name, value) for name, value in plain.items()), *secret),
            resources=Resources(str(spec.cpu), spec.memory, "1"),
            mounts=(),
        )
