"""The permissions that the calls of each kind of thing need: tables by kind. Knows no cloud and no plan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gemmactl.kernel.plan import Op, Step
from gemmactl.kernel.reference import Digest
from gemmactl.kernel.resource import Resource
from gemmactl.resources.agent_grant import AgentGrant
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.execution import Execution
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.image import Image
from gemmactl.resources.job import Job
from gemmactl.resources.model_files import ModelFiles
from gemmactl.resources.repository import Repository
from gemmactl.resources.run_files import DataFile, RunDocument
from gemmactl.resources.secret import Secret
from gemmactl.resources.service import Service
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.resources.service_types import Container
from gemmactl.resources.stored_model import StoredModel
from gemmactl.resources.weights_pin import WeightsPin

ACT_AS: Final = "iam.serviceAccounts.actAs"
PULL: Final = "artifactregistry.repositories.downloadArtifacts"
STEMS: Final = {
    "project": "resourcemanager.projects",
    "bucket": "storage.buckets",
    "repository": "artifactregistry.repositories",
    "secret": "secretmanager.secrets",
    "service_account": "iam.serviceAccounts",
    "service": "run.services",
    "job": "run.jobs",
    "key": "cloudkms.cryptoKeys",
}
"""Kind of target -> how the permissions of its IAM policy begin."""
_IMAGE: Final = re.compile(
    r"(?P<region>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>(?:[a-z0-9.-]+\.[a-z]+/)?[^/]+)/(?P<repository>[^/]+)/.+"
)


@dataclass(frozen=True, order=True)
class Need:
    """One permission on one thing."""

    target: PolicyTarget
    permission: str

    def __str__(self) -> str:
        return f"{self.permission} on {self.target}"


def repository_of(image: str) -> PolicyTarget | None:
    """The Artifact Registry repository that an image (tag or digest) lies in, or None for another registry."""
    found = _IMAGE.fullmatch(image)
    if not found:
        return None
    project = found["project"].replace("/", ":")
    return PolicyTarget("repository", f"projects/{project}/locations/{found['region']}/repositories/{found['repository']}")


def _on(target: PolicyTarget, *permissions: str) -> Iterator[Need]:
    yield from (Need(target, permission) for permission in permissions)


def write(step: Step, project: PolicyTarget) -> Iterator[Need]:
    """To make or change what a step is about."""
    match step.resource:
        case AgentGrant(target=target):
            yield from _on(project, "serviceusage.services.enable")  # makes the agent where it is not there yet
            yield from _policy(target, "getIamPolicy", "setIamPolicy")
        case IamMember(target=target):
            yield from _policy(target, "getIamPolicy", "setIamPolicy")
        case Image() as image:
            yield from _build(image, project)
        case ModelFiles(bucket=bucket):
            yield from _on(PolicyTarget("bucket", bucket), "storage.objects.list", "storage.objects.create")
            if step.op is Op.UPDATE:  # a file that differs is replaced
                yield from _on(PolicyTarget("bucket", bucket), "storage.objects.delete")
        case WeightsPin(bucket=bucket) | DataFile(bucket=bucket) | RunDocument(bucket=bucket):
            yield from _on(PolicyTarget("bucket", bucket), "storage.objects.create")
            if step.op is Op.UPDATE:  # an object that is replaced
                yield from _on(PolicyTarget("bucket", bucket), "storage.objects.delete")
        case Execution() as execution:
            # the job and its executions are read once more, so that no other run is started and none twice
            yield from _on(PolicyTarget("job", execution.job), "run.jobs.get", "run.jobs.run")
            yield from _on(project, "run.executions.list", "run.operations.get")
        case Service() as service:
            yield from _service(service, step, project)
        case Job() as job:
            yield from _job(job, step, project)
        case resource if step.op is Op.CREATE:
            yield from _make(resource, project)
        case resource:
            yield from _change(resource, project)


def _make(resource: Resource, project: PolicyTarget) -> Iterator[Need]:
    match resource:
        case Apis():
            yield from _on(project, "serviceusage.services.enable")
        case ServiceAccount():
            yield from _on(project, "iam.serviceAccounts.create")
        case Repository():
            yield from _on(project, "artifactregistry.repositories.create")
        case Bucket():
            yield from _on(project, "storage.buckets.create")
        case Secret():
            yield from _on(project, "secretmanager.secrets.create")
            yield from _change(resource, project)


def _change(resource: Resource, project: PolicyTarget) -> Iterator[Need]:
    match resource:
        case Apis():
            yield from _on(project, "serviceusage.services.enable")
        case Repository():
            own = PolicyTarget("repository", resource.full_name)
            # get: policies of others are sent along, or the change would take them away
            yield from _on(own, "artifactregistry.repositories.get", "artifactregistry.repositories.update")
        case Bucket():
            # source: reference of buckets.patch: public access prevention, which is always sent, needs the second one
            yield from _on(PolicyTarget("bucket", resource.name), "storage.buckets.update", "storage.buckets.setIamPolicy")
        case Secret():
            yield from _on(PolicyTarget("secret", resource.full_name), "secretmanager.versions.add")


def _build(image: Image, project: PolicyTarget) -> Iterator[Need]:
    # list: a build of the same context that runs already is joined
    yield from _on(project, "cloudbuild.builds.list", "cloudbuild.builds.create", "cloudbuild.builds.get")
    yield from _on(PolicyTarget("service_account", image.account), ACT_AS)
    # list: who may not list is told 403 instead of 404 for a context that is not there yet
    yield from _on(PolicyTarget("bucket", image.bucket), "storage.objects.get", "storage.objects.list", "storage.objects.create")


def _service(service: Service, step: Step, project: PolicyTarget) -> Iterator[Need]:
    own = PolicyTarget("service", service.full_name)
    live = step.live if isinstance(step.live, Service) else None
    yield from _on(own, "run.services.create" if step.op is Op.CREATE else "run.services.update", "run.services.get")
    yield from _on(project, "run.operations.get")
    if service.service_account:
        yield from _on(PolicyTarget("service_account", service.service_account), ACT_AS)
    if service.invoker_iam_disabled is not None and service.invoker_iam_disabled != bool(live and live.invoker_iam_disabled):
        yield from _on(own, "run.services.setIamPolicy")
    yield from _images(service.containers)


def _job(job: Job, step: Step, project: PolicyTarget) -> Iterator[Need]:
    own = PolicyTarget("job", job.full_name)
    yield from _on(own, "run.jobs.create" if step.op is Op.CREATE else "run.jobs.update", "run.jobs.get")
    yield from _on(project, "run.operations.get")
    if job.service_account:
        yield from _on(PolicyTarget("service_account", job.service_account), ACT_AS)
    yield from _images(job.containers)


def _images(containers: tuple[Container, ...] | None) -> Iterator[Need]:
    """Cloud Run asks whether the caller may read what is to run."""
    for box in containers or ():
        if repository := repository_of(box.image.tag if isinstance(box.image, Digest) else box.image):
            yield from _on(repository, PULL)


def delete(resource: Resource, project: PolicyTarget) -> Iterator[Need]:
    """To remove it."""
    match resource:
        case ServiceAccount():
            yield from _on(PolicyTarget("service_account", resource.email), "iam.serviceAccounts.delete")
        case Repository():
            yield from _on(PolicyTarget("repository", resource.full_name), "artifactregistry.repositories.delete")
        case Bucket():
            bucket = PolicyTarget("bucket", resource.name)
            yield from _on(bucket, "storage.objects.list", "storage.objects.delete", "storage.buckets.delete")
        case Secret():
            yield from _on(PolicyTarget("secret", resource.full_name), "secretmanager.secrets.delete")
        case IamMember():
            yield from _policy(resource.target, "getIamPolicy", "setIamPolicy")
        case Image():
            if repository := repository_of(resource.tag):
                yield from _on(repository, "artifactregistry.tags.get", "artifactregistry.versions.delete")
        case WeightsPin() | StoredModel():
            yield from _on(PolicyTarget("bucket", resource.bucket), "storage.objects.list", "storage.objects.delete")
        case Service():
            yield from _on(PolicyTarget("service", resource.full_name), "run.services.delete")
            yield from _on(project, "run.operations.get")
        case Job():
            yield from _on(PolicyTarget("job", resource.full_name), "run.jobs.delete")
            yield from _on(project, "run.operations.get")


def read(resource: Resource, project: PolicyTarget) -> Iterator[Need]:
    """To look at it."""
    match resource:
        case ModelFiles() | StoredModel() | WeightsPin() | Image() | DataFile() | RunDocument():
            yield from _read_content(resource)
        case Apis():
            yield from _on(project, "serviceusage.services.get")
        case ServiceAccount():
            yield from _on(PolicyTarget("service_account", resource.email), "iam.serviceAccounts.get")
        case Repository():
            yield from _on(PolicyTarget("repository", resource.full_name), "artifactregistry.repositories.get")
        case Bucket():
            yield from _on(PolicyTarget("bucket", resource.name), "storage.buckets.get")
            # the project's number proves that the bucket is nobody else's
            yield from _on(project, "resourcemanager.projects.get")
        case Secret():
            secret = PolicyTarget("secret", resource.full_name)
            yield from _on(secret, "secretmanager.secrets.get", "secretmanager.versions.list")
        case IamMember():
            yield from _policy(resource.target, "getIamPolicy")
        case Service():
            yield from _on(PolicyTarget("service", resource.full_name), "run.services.get")
        case Job():
            yield from _on(PolicyTarget("job", resource.full_name), "run.jobs.get")
        case Execution():
            yield from _on(project, "run.executions.list")
            bucket = resource.run_uri.removeprefix("gs://").partition("/")[0]
            yield from _on(PolicyTarget("bucket", bucket), "storage.objects.get", "storage.objects.list")


def _read_content(resource: Resource) -> Iterator[Need]:
    match resource:
        case Image():
            if repository := repository_of(resource.tag):
                yield from _on(repository, "artifactregistry.tags.get")
        case ModelFiles() | StoredModel():
            yield from _on(PolicyTarget("bucket", resource.bucket), "storage.objects.list")
        case WeightsPin() | DataFile() | RunDocument():
            # list: who may not list is told 403 instead of 404 for a pin that is not there yet
            yield from _on(PolicyTarget("bucket", resource.bucket), "storage.objects.get", "storage.objects.list")


def _policy(target: PolicyTarget, *verbs: str) -> Iterator[Need]:
    yield from _on(target, *(f"{STEMS[target.kind]}.{verb}" for verb in verbs))
