"""What lies around a project's resources: who calls, billing, organization policies, subnets. Protocols, all reads.

The same rules hold: every method may raise Trouble, "not there" is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Login:
    """How this process came to its credentials, as far as this machine tells; nothing of it is secret.

    `kind`: authorized_user, service_account, metadata, impersonated, federated, other or sandbox. `gcloud_account`: whom gcloud
    runs as.
    """

    kind: str = ""
    impersonates: str = ""
    quota_project: str = ""
    gcloud_account: str = ""


@dataclass(frozen=True)
class ProjectInfo:
    """`state` is the API's word: ACTIVE, DELETE_REQUESTED."""

    number: str
    state: str = "ACTIVE"


@dataclass(frozen=True)
class OrgPolicy:
    """What is in force of one constraint: a switch, or values that are allowed or denied. Nothing said: nothing forbidden."""

    enforced: bool = False
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    deny_all: bool = False
    parameters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Of a managed constraint that is enforced: name -> values."""


@dataclass(frozen=True)
class SubnetInfo:
    """A subnet; `range` is its CIDR, `network` the short name."""

    network: str
    range: str = ""
    private_google_access: bool = False
    free: int | None = None
    """Addresses of that range that nobody has; None: not told."""


class Projects(Protocol):
    def info(self) -> ProjectInfo | None:
        """The project; None when there is none of that id, as far as the API tells."""

    def billed(self) -> bool:
        """Whether an open billing account is linked (cloudbilling.googleapis.com)."""


class OrgPolicies(Protocol):
    def effective(self, constraint: str) -> OrgPolicy:
        """What the organization, the folders and the project say together of `run.allowedIngress` and so on."""


class Subnets(Protocol):
    def get(self, name: str) -> SubnetInfo | None:
        """`projects/P/regions/R/subnetworks/S`."""
