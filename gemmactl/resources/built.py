"""What makes an image of ours: the account that builds, its rights, where context and image lie. Knows no service and no job."""

from __future__ import annotations

from typing import Final

from gemmactl.kernel.resource import Resource
from gemmactl.limits import L4
from gemmactl.resources import apis, names
from gemmactl.resources.bucket import BuildBucket
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.context import BuildContext
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.image import Image
from gemmactl.resources.repository import Repository
from gemmactl.resources.service_account import ServiceAccount

DOCKERFILE: Final = "inference_image/Dockerfile"
TUNE_DOCKERFILE: Final = "finetune_image/Dockerfile"
CUDA: Final = L4.cuda
"""What the Dockerfiles take without a word."""
CONTEXT_DAYS: Final = 30
"""A build context can be made again at any time: old ones go by themselves."""


def built(
    project: str,
    region: str,
    tag: str,
    context: BuildContext,
    given: str | None = None,
    *,
    dockerfile: str = DOCKERFILE,
    cuda: str = CUDA,
    asked_for: str = "",
) -> tuple[Resource, ...]:
    """Everything up to the image that `tag` names, in a region; the image is the last of them.

    `given`: e-mail of an account that builds; none is made then, and it gets the same rights. `cuda`: which build of torch.
    `asked_for`: the name whose deploy or fine-tune wants it.
    """
    after = (apis.ADDRESS,)
    own = ServiceAccount(project, names.BUILD_ACCOUNT, "gemmactl: builds images", after=after)
    email = given or own.email
    repository = Repository(project, region, names.REPOSITORY, after=after)
    bucket = BuildBucket(names.bucket(project, "build", region), region, delete_after_days=CONTEXT_DAYS, after=after)

    def grant(target: PolicyTarget, role: str, *on: str) -> IamMember:
        return IamMember(target, role, f"serviceAccount:{email}", after=(apis.ADDRESS, own.address, *on))

    grants = (
        grant(PolicyTarget("project", project), "roles/logging.logWriter"),
        grant(PolicyTarget("bucket", bucket.name), "roles/storage.objectViewer", bucket.address),
        grant(PolicyTarget("repository", repository.full_name), "roles/artifactregistry.writer", repository.address),
    )
    image = Image(
        project,
        region,
        tag,
        dockerfile=dockerfile,
        bucket=bucket.name,
        account=email,
        context=context,
        beside=tuple(name for name in (names.SERVE_IMAGE, names.TUNE_IMAGE) if not tag.rpartition("/")[2].startswith(f"{name}:")),
        asked_for=asked_for,
        build_args=() if cuda == CUDA else (("CUDA", cuda),),
        after=(repository.address, bucket.address, *(g.address for g in grants)),
    )
    return (*(() if given else (own,)), repository, bucket, *grants, image)
