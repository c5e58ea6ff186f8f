"""The part of a stack that brings the user's token for the Hub to a container: a secret and who may read it. Knows no image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gemmactl.kernel.reference import Version
from gemmactl.resources import apis, names
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.secret import Secret
from gemmactl.resources.service_types import SecretEnv
from gemmactl.spec import SecretRef, Token

ACCESSOR: Final = "roles/secretmanager.secretAccessor"


@dataclass(frozen=True)
class Given:
    """A token or a reference as the user gave it, and the name of the secret that would hold a token."""

    project: str
    region: str
    name: str
    value: SecretRef | Token | None = None
    rotate: bool = False


def secret(given: Given, *, teardown: bool) -> Secret | None:
    """The secret of ours; None when a stranger's secret or none is used. `teardown`: also when nothing is given any more."""
    token = given.value if isinstance(given.value, Token) else None
    # a wish that was read back from a live service or job names our own secret like any other
    known = isinstance(given.value, SecretRef) and names.secret(given.project, given.value.name)[1] == given.name
    if token is None and not known and not (teardown and given.value is None):
        return None
    return Secret(given.project, given.name, given.region, rotate=given.rotate, value=token, after=(apis.ADDRESS,))


def variable(given: Given, variable: str, ours: Secret | None) -> tuple[str, SecretEnv] | None:
    """(Full name of the secret, the variable that refers to it); None without a token."""
    if ours is not None and given.value is not None:
        return ours.full_name, SecretEnv(variable, ours.name, Version(ours.full_name, ours.address))
    return reference(given.project, variable, given.value) if isinstance(given.value, SecretRef) else None


def reference(project: str, variable: str, ref: SecretRef) -> tuple[str, SecretEnv]:
    """The same for a secret that is there."""
    full, short = names.secret(project, ref.name)
    return full, SecretEnv(variable, short, ref.version)


def accessor(full_name: str, member: str, after: tuple[str, ...]) -> IamMember:
    """The binding that lets `member` read one secret."""
    return IamMember(PolicyTarget("secret", full_name), ACCESSOR, member, after=after)
