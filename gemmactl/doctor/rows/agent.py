"""Cloud Run's service agent: tokens of the runtime account, images of other projects."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import Row

_TOKENS: Final = r"Service Agent does not have permission to get access tokens for the service account (?P<resource>[\w.@-]+\w)"
_GIVE: Final = r"Please give (?P<member>service-\d+@serverless-robot-prod\.iam\.gserviceaccount\.com)"
_IMAGE: Final = r"must have permission to read the image,? (?P<resource>[\w:/.@-]{3,300}\w)"

ROWS: Final = (
    Row(
        code="connector-denied",
        category="iam",
        subcategory="network",
        title="The VPC connector of another project is not there, or Cloud Run's service agent may not use it",
        cause="A connector of the host project of a shared VPC is used by the agent of the deploying project, which needs a role"
        " there. A connector that does not exist gives the same text.",
        remedy="Check its full name first; then grant vpcaccess.user on the host project to the agent. Direct VPC egress needs"
        " no connector.",
        patterns=(
            (
                r"in project \[(?P<own>[\w.:-]{3,60})\].{0,900}?projects/(?!(?P=own)/)"
                r"(?P<project>[\w.:-]{3,60})/locations/[\w-]{3,40}/connectors/[\w-]{1,63} does not exist, or"
                r" Cloud Run does not have permission to use it"
            ),
        ),
        role="roles/vpcaccess.user",
        scope="project",
        principal="$RUN_AGENT",
        fix_kind="iam_grant",
        explains=("vpc-connector", "network-missing", "iam-denied-somehow"),
        not_fix=("granting it to the account that deploys",),
        confidence=0.7,
    ),
    Row(
        code="host-network-denied",
        category="iam",
        subcategory="network",
        title="Cloud Run's service agent may not use the network of the host project",
        cause="With a shared VPC the agent of the deploying project connects to a subnet of another project, with no role there.",
        remedy="Grant compute.networkUser on that subnet to the agent, and networkViewer on the host project to look at it.",
        patterns=(
            (
                rf"Service Agent \(?(?P<member>{EMAIL})?\)? ?(?:does not have|lacks|needs|is missing|must have)\b.{{0,100}}?"
                r"(?:compute\.(?:networks|subnetworks)\.\w+|networkUser|Network User|host project)"
            ),
        ),
        permission="compute.subnetworks.use",
        principal="$RUN_AGENT",
        fix_kind="iam_grant",
        explains=("iam-denied", "iam-denied-somehow", "role-named", "network-missing"),
        confidence=0.8,
    ),
    Row(
        code="agent-tokens-other-project",
        category="iam",
        subcategory="run_agent",
        title="Cloud Run's service agent may not get tokens for a runtime account of another project",
        cause="The runtime account lives in another project, so the agent of the deploying project needs to mint its tokens.",
        remedy="Grant serviceAccountTokenCreator on that account to the agent; not to yourself.",
        patterns=(
            (
                r"instance (?P<deploying>[a-z0-9-]+) \(or .{0,160}? access tokens for the service account"
                rf" (?P<resource>[\w-]+@(?!(?P=deploying)\.)[\w-]+\.iam\.gserviceaccount\.com)(?:\. {_GIVE})?"
            ),
        ),
        permission="iam.serviceAccounts.getAccessToken",
        principal="$RUN_AGENT",
        fix_kind="iam_grant",
        explains=("agent-tokens", "iam-denied"),
        not_fix=("granting it to the account that deploys",),
    ),
    Row(
        code="agent-tokens",
        category="iam",
        subcategory="run_agent",
        title="Cloud Run's service agent lost its role",
        cause="The agent can't get tokens for the runtime account: a policy written as a whole removed"
        " run.serviceAgent, or the API was"
        " enabled seconds ago.",
        remedy="Give the agent its role back on the project; wait a few minutes if the API is new.",
        patterns=(rf"{_TOKENS}(?:\. {_GIVE})?",),
        permission="iam.serviceAccounts.getAccessToken",
        principal="$RUN_AGENT",
        role="roles/run.serviceAgent",
        scope="project",
        fix_kind="iam_grant",
        explains=("iam-denied",),
        not_fix=("run.serviceAgent or serviceAccountTokenCreator for the account that deploys",),
    ),
    Row(
        code="agent-image",
        category="iam",
        subcategory="run_agent",
        title="Cloud Run's service agent may not pull the image",
        cause="The image lies in another project, where this project's agent has no role; or the image's name is wrong.",
        remedy="Grant artifactregistry.reader on that repository to the agent; the runtime account does not pull images.",
        patterns=(rf"Service Agent (?:(?P<member>{EMAIL}) )?{_IMAGE}",),
        permission="artifactregistry.repositories.downloadArtifacts",
        principal="$RUN_AGENT",
        fix_kind="iam_grant",
        explains=("iam-denied",),
        not_fix=("granting it to the runtime account: it does not pull the image",),
    ),
    Row(
        code="caller-image",
        category="iam",
        subcategory="deploy_caller",
        title="The account that deploys may not read the image",
        cause="Since January 2025 the deploying account itself must be able to read the image, besides the service agent.",
        remedy="Grant artifactregistry.reader on the image's repository to the caller; across projects to the service"
        " agent as well.",
        patterns=(
            rf"User {_IMAGE}",
            # its first line was cut off
            (
                r"\bimage, (?P<resource>[\w:/.@-]{3,300}\w)\. Ensure that the provided container image URL is correct"
                r" and that the above account"
            ),
        ),
        permission="artifactregistry.repositories.downloadArtifacts",
        principal="$CALLER",
        fix_kind="iam_grant",
        explains=("iam-denied",),
    ),
)
