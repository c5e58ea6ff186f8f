"""A service agent of Google's own may use a key: it is made first, because a policy takes no account that is not there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from gemmactl.kernel.resource import Work
from gemmactl.resources.cloud import Cloud, PolicyTarget
from gemmactl.resources.iam_member import IamMember

ROLE: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
# source: each product's page on customer-managed encryption keys
AGENTS: Final = {
    "artifactregistry.googleapis.com": "gcp-sa-artifactregistry.iam",
    "secretmanager.googleapis.com": "gcp-sa-secretmanager.iam",
    "storage.googleapis.com": "gs-project-accounts.iam",
    "run.googleapis.com": "serverless-robot-prod.iam",
}
"""API -> the domain of its agent's e-mail, without `.gserviceaccount.com`."""


@dataclass(frozen=True)
class AgentGrant(IamMember):
    """`api`: whose agent it is. Never taken back: what is encrypted with the key could not be read any more."""

    lasting: ClassVar[str] = "what is encrypted with the key is read through it"

    api: str = field(default="", compare=False)

    def create(self, cloud: Cloud, work: Work) -> None:
        cloud.apis.agent(self.api)
        super().create(cloud, work)


def agent_grant(key: str, api: str, number: str, after: tuple[str, ...]) -> AgentGrant:
    """The grant of one API's agent in the project with this number."""
    member = f"serviceAccount:service-{number}@{AGENTS[api]}.gserviceaccount.com"
    return AgentGrant(PolicyTarget("key", key), ROLE, member, after, api)
