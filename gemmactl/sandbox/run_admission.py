"""What whoever deploys to Cloud Run must be allowed, service or job. Knows neither of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmactl.sandbox import images
from gemmactl.sandbox.keys_api import agent_of, require_key
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]


def admit(world: World, caller: str, template: Json) -> None:
    """Act as the template's account, have an agent and a key that work, read the image.

    Raises:
        ApiError: Cloud Run's sentence.
    """
    email = template["serviceAccount"]
    known = email == world.compute_account or world.account(email) is not None
    if not known or not world.iam.holds(caller, "iam.serviceAccounts.actAs", f"projects/{world.project}/serviceAccounts/{email}"):
        # source: Cloud Run's pages and published logs, corpus iam-027
        raise failed(
            "PERMISSION_DENIED",
            f"Permission 'iam.serviceaccounts.actAs' denied on service account {email} (or it may not exist).",
        )
    _require_agent(world, email)
    require_key(world, template.get("encryptionKey", ""), "run.googleapis.com")
    _require_image(world, caller, template["containers"][0]["image"])


def _require_image(world: World, caller: str, image: str) -> None:
    where = images.parse(image)
    if where is None:
        if images.resolve(world, image) is None:
            text = f"The sandbox runs images of its own Artifact Registry, and what stands in for vLLM's, not {image}"
            raise failed("INVALID_ARGUMENT", text)
        return
    permission = "artifactregistry.repositories.downloadArtifacts"
    if not world.iam.holds(caller, permission, where.parent):
        # source: corpus iam-036, Cloud Run's pages and published logs
        text = (
            f"User must have permission to read the image, {image}. Ensure that the provided container image URL is correct "
            f'and that the above account has permission to access the image. Permission "{permission}" denied on '
            f'resource "{where.parent}" (or it may not exist)'
        )
        raise failed("PERMISSION_DENIED", text)
    agent = agent_of(world, "run.googleapis.com")
    if not world.iam.holds(f"serviceAccount:{agent}", permission, where.parent):
        # source: corpus iam-034
        raise failed(
            "PERMISSION_DENIED",
            f"Google Cloud Run Service Agent {agent} must have permission to read the image, {image}. Ensure that the provided "
            "container image URL is correct and that the above account has permission to access the image. If you just enabled "
            "the Cloud Run API, the permissions might take a few minutes to propagate. Note that the image is from project "
            f"[{where.project}], which is not the same as this project [{world.project}]. Permission must be granted to the "
            "Google Cloud Run Service Agent from this project.",
        )


def _require_agent(world: World, email: str) -> None:
    """Cloud Run's own account makes the tokens of the service's account."""
    agent = agent_of(world, "run.googleapis.com")
    permission = "iam.serviceAccounts.getAccessToken"
    if not world.iam.holds(f"serviceAccount:{agent}", permission, f"projects/{world.project}/serviceAccounts/{email}"):
        # source: corpus iam-032
        raise failed(
            "PERMISSION_DENIED",
            f"Google Cloud Run Service Agent does not have permission to get access tokens for the service account {email}. "
            f"Please give {agent} permission {permission} on the service account. Alternatively, if the service account is "
            "unspecified or in the same project you are deploying in, ensure that the Service Agent is assigned the Google "
            "Cloud Run Service Agent role roles/run.serviceAgent.",
        )
