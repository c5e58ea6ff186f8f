"""What a deploy is: wishes -> a named list of resources. Knows no cloud, no order and no screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from gemmactl import stack_access, stack_hands, stack_keys, stack_mount, stack_token, vllm
from gemmactl.kernel.reference import Digest
from gemmactl.kernel.resource import Resource
from gemmactl.resources import apis, mark, names
from gemmactl.resources.adapters import Adapters
from gemmactl.resources.apis import Apis
from gemmactl.resources.approved import ApprovedWeights
from gemmactl.resources.bucket import ModelBucket
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.context import BuildContext, stage
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.local_model import LocalModel, read_folder
from gemmactl.resources.model_files import ModelFiles
from gemmactl.resources.secret import Secret
from gemmactl.resources.service import Service
from gemmactl.resources.service_account import ServiceAccount, email_of
from gemmactl.resources.service_rollout import Rollout
from gemmactl.resources.service_types import Container, EnvVar, Resources, Scaling, SecretEnv
from gemmactl.spec import Serve
from inference_image.contract import ENV_ADAPTERS, ENV_HF_TOKEN, ENV_MAX_CONTEXT, ENV_MODEL, ENV_MODEL_NAME, ENV_PIN

SERVE_PACKAGES: Final = ("inference_image",)
NEEDED: Final = ("run", "iam", "logging", "storage", "cloudresourcemanager")


def serving(
    spec: Serve,
    *,
    context: BuildContext | None = None,
    local: LocalModel | None = None,
    teardown: bool = False,
    rollout: Rollout | None = None,
) -> tuple[Resource, ...]:
    """The stack that serves one model.

    `context` and `local` are read from the installed package and the model's directory when they are not given.
    `rollout`: how a new revision comes to serve; None: at once. `teardown`: also the token's secret when no token is given,
    and without reading the model's directory.

    Raises:
        Trouble: the build context or the model's directory can't be read.
    """
    made = _Serving(spec, context, local, teardown, rollout).resources()
    return stack_hands.given(spec, stack_keys.encrypted(spec, made, teardown=teardown))


@dataclass(frozen=True)
class _Serving:
    """The parts of one serving stack by name, so that each can say what it needs."""

    spec: Serve
    given_context: BuildContext | None
    given_local: LocalModel | None
    teardown: bool
    rollout: Rollout | None = None

    def resources(self) -> Iterator[Resource]:
        yield self.apis
        if self.builds:
            yield from self.build()
        yield from self.runtime()
        yield from stack_access.opened(self.spec, self.service())

    @property
    def builds(self) -> bool:
        """Whether the image is made here: gemmactl's own server, unless an image is given."""
        return self.spec.image is None and self.spec.engine == "gemmactl"

    # --- APIs -----------------------------------------------------------------------------------

    @cached_property
    def apis(self) -> Apis:
        wanted = [*NEEDED]
        if self.builds:
            wanted += ["artifactregistry", "cloudbuild"]
        if self.spec.hf_token is not None or self.spec.secrets or self.spec.auth == "api-key" or self.teardown:
            wanted += ["secretmanager"]
        return Apis(tuple(f"{name}.googleapis.com" for name in wanted))

    # --- the image and what builds it -------------------------------------------------------------

    @cached_property
    def context(self) -> BuildContext:
        return self.given_context or stage(SERVE_PACKAGES)

    @property
    def tag(self) -> str:
        return stack_hands.tag(self.spec, names.SERVE_IMAGE, self.context)

    def build(self) -> tuple[Resource, ...]:
        return stack_hands.building(self.spec, self.tag, self.context, teardown=self.teardown)

    # --- who it runs as, what it reads ------------------------------------------------------------

    @property
    def account(self) -> str:
        """E-mail of the runtime service account."""
        spec = self.spec
        made = names.runtime_account(spec.project, spec.region, spec.name)
        return spec.service_account or email_of(made, spec.project)

    @property
    def own_account(self) -> tuple[ServiceAccount, ...]:
        spec = self.spec
        if spec.service_account is not None:
            return ()
        name = names.runtime_account(spec.project, spec.region, spec.name)
        return (ServiceAccount(spec.project, name, f"gemmactl: runs {spec.name}"[:100], after=(apis.ADDRESS,)),)

    @property
    def models_bucket(self) -> str:
        return names.bucket(self.spec.project, "models", self.spec.region)

    @property
    def leaf(self) -> str:
        """The model's name; `.` and `..` have one too."""
        model = self.spec.model
        return model.leaf if model.kind != "dir" or model.leaf.strip(".") else Path(model.text).resolve().name

    @cached_property
    def local(self) -> LocalModel:
        return self.given_local or read_folder(Path(self.spec.model.text))

    @cached_property
    def model_uri(self) -> str:
        if self.spec.model.kind != "dir":
            return self.spec.model.uri
        return f"gs://{self.models_bucket}" if self.teardown else self.upload.uri

    @cached_property
    def adapters(self) -> Adapters:
        return Adapters(self.spec.adapters, self.models_bucket, (self._models().address,), read=not self.teardown)

    @cached_property
    def upload(self) -> ModelFiles:
        # the content is in the name: a changed directory is another folder and so another revision, and the files
        # under a running service never change
        prefix = f"{self.leaf}-{self.local.digest}"
        return ModelFiles(self.models_bucket, prefix, model=self.local, after=(self._models().address,))

    def _models(self) -> ModelBucket:
        return ModelBucket(self.models_bucket, self.spec.region, after=(apis.ADDRESS,))

    def storage(self) -> tuple[Resource, ...]:
        places = (self.spec.model, *(model for _, model in self.spec.adapters))
        if not any(place.kind == "dir" or place.bucket == self.models_bucket for place in places):
            return ()
        model = (self.upload,) if self.spec.model.kind == "dir" and not self.teardown else ()
        return (self._models(), *model, *self.adapters.uploads)

    @cached_property
    def weights(self) -> ApprovedWeights:
        spec, uris = self.spec, (self.model_uri, *self.adapters.uris.values())
        model = (self.upload,) if spec.model.kind == "dir" and not self.teardown else ()
        return ApprovedWeights(
            f"projects/{spec.project}/locations/{spec.region}/services/{spec.name}",
            spec.approved,
            tuple(uri for uri in uris if uri.startswith("gs://")),
            (*model, *self.adapters.uploads),
            after=(apis.ADDRESS, *(one.address for one in self.storage())),
            teardown=self.teardown,
        )

    @property
    def token(self) -> stack_token.Given:
        spec = self.spec
        name = spec.token_secret or names.token_secret(spec.name, spec.region)
        return stack_token.Given(spec.project, spec.region, name, spec.hf_token, rotate=spec.rotate_hf_token)

    @cached_property
    def token_secret(self) -> Secret | None:
        return stack_token.secret(self.token, teardown=self.teardown)

    @cached_property
    def keys(self) -> Secret | None:
        return stack_access.keys(self.spec, teardown=self.teardown)

    @cached_property
    def secret_env(self) -> dict[str, tuple[str, SecretEnv]]:
        """Variable -> (full name of its secret, the reference)."""
        token = stack_token.variable(self.token, ENV_HF_TOKEN, self.token_secret)
        found = {} if token is None else {ENV_HF_TOKEN: token}
        return found | {name: stack_token.reference(self.spec.project, name, ref) for name, ref in self.spec.secrets}

    def grants(self) -> tuple[IamMember, ...]:
        member = f"serviceAccount:{self.account}"
        first = (apis.ADDRESS, *(a.address for a in self.own_account))
        out: list[IamMember] = []
        if self.model_uri.startswith("gs://"):
            bucket = self.model_uri.split("/")[2]
            target = PolicyTarget("bucket", bucket)
            roles = ["roles/storage.objectViewer"]
            if (self.spec.engine == "vllm" and self.spec.loader == "stream") or self.teardown:
                # its streamer calls get_bucket(), a permission that no object role has; the narrowest role with it that a
                # bucket takes. An unfinished deploy is removed by its model alone, so teardown looks for it always
                roles.append("roles/storage.legacyBucketReader")
            out += [IamMember(target, role, member, after=(*first, f"bucket {bucket}")) for role in roles]
        read = {grant.target.name for grant in out}
        for bucket in self.adapters.buckets:
            if bucket not in read:
                target, on = PolicyTarget("bucket", bucket), (*first, f"bucket {bucket}")
                out.append(IamMember(target, "roles/storage.objectViewer", member, after=on))
        ours = {secret.full_name: secret.address for secret in (self.token_secret, self.keys) if secret is not None}
        secrets = {full for full, _ in self.secret_env.values()} | ({*ours} if self.teardown else set())
        if self.keys is not None:
            secrets.add(self.keys.full_name)
        for full in sorted(secrets):
            on = (ours[full],) if full in ours else ()
            out.append(stack_token.accessor(full, member, (*first, *on)))
        return tuple(out)

    def runtime(self) -> tuple[Resource, ...]:
        secret = tuple(one for one in (self.token_secret, self.keys) if one is not None)
        pin = (self.weights.pin,) if self.weights.pin is not None else ()
        return (*self.own_account, *self.storage(), *pin, *secret, *self.grants())

    # --- the service --------------------------------------------------------------------------------

    def service(self) -> Service:
        spec = self.spec
        build = [r.address for r in self.build() if r.kind == "image"] if self.builds else []
        return Service(
            spec.project,
            spec.region,
            spec.name,
            containers=(self._container(),),
            scaling=Scaling(spec.min_instances, spec.max_instances),
            concurrency=spec.concurrency,
            timeout=spec.timeout,
            service_account=self.account,
            gpu_type=spec.gpu_type,
            gpu_zonal_redundancy_disabled=True,
            execution_environment="EXECUTION_ENVIRONMENT_GEN2",
            volumes=(*stack_mount.volumes(spec, self.model_uri), *(stack_access.volumes(spec) or ())),
            labels=tuple(sorted(((mark.NAME_LABEL, spec.name), *mark.OURS, *stack_hands.labels(spec)))),
            invoker_iam_disabled=spec.open,
            ingress=stack_access.ingress(spec),
            vpc=stack_access.network(spec),
            rollout=self.rollout,
            after=(apis.ADDRESS, *build, *(r.address for r in self.runtime())),
        )

    @property
    def image(self) -> str | Digest:
        if self.builds:
            return Digest(self.tag, f"image {self.tag.rpartition('/')[2]}")
        return self.spec.image or self.spec.engine_image or vllm.IMAGE

    def _container(self) -> Container:
        spec = self.spec
        foreign = spec.engine == "vllm"
        plain = {ENV_MODEL: self.model_uri, ENV_MODEL_NAME: self.leaf}
        if foreign:
            plain |= vllm.environment(spec)
        elif spec.context is not None:
            plain[ENV_MAX_CONTEXT] = str(spec.context)
        if spec.adapters:
            plain[ENV_ADAPTERS] = self.adapters.variable
        if self.weights.text:
            plain[ENV_PIN] = self.weights.text
        plain |= {**dict(spec.env), **stack_access.environment(spec)}
        secret = {variable: reference for variable, (_, reference) in self.secret_env.items()}
        return Container(
            self.image,
            # the image's own is said too: a service that changes its engine must not keep the other one's command
            command=vllm.COMMAND if foreign else (),
            args=vllm.arguments(spec, self.model_uri, self.leaf) if foreign else (),
            env=(*(EnvVar(k, v) for k, v in plain.items() if k not in secret), *secret.values()),
            resources=Resources(str(spec.cpu), spec.memory, "1", cpu_idle=spec.cpu_throttling, startup_cpu_boost=True),
            startup_probe=stack_access.probe(spec),
            mounts=(*stack_mount.mounts(spec), *(stack_access.mounts(spec) or ())),
        )
