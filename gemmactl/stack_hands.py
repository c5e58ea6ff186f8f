"""What of a stack another hand may have made: given accounts, no IAM, and how the service remembers it. Knows no cloud."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gemmactl.kernel.resource import Resource
from gemmactl.limits import GPUS
from gemmactl.resources import mark, names
from gemmactl.resources.built import CUDA, DOCKERFILE, built
from gemmactl.resources.context import BuildContext
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.service_account import ServiceAccount, email_of, project_of
from gemmactl.spec_parts import Built, Handed, Sized

IAM_LABEL: Final = "gemmactl-iam"
"""`given`: accounts and bindings are another hand's (--no-iam), so destroy leaves them; `managed` after --iam."""
BUILDER_LABEL: Final = "gemmactl-builder"
"""A given build account as `ID_PROJECT`: a label takes no e-mail."""


def labels(spec: Handed) -> mark.Pairs:
    """What the service must remember for a later destroy; nothing where all is gemmactl's own."""
    found: list[tuple[str, str]] = []
    if spec.iam is not None:
        found.append((IAM_LABEL, "managed" if spec.iam else "given"))
    if spec.build_service_account and (short := _short(spec.build_service_account)):
        found.append((BUILDER_LABEL, short))
    return tuple(found)


def iam_of(labels: dict[str, str]) -> bool | None:
    """--iam or --no-iam as a live service remembers it; None: nothing was said."""
    return {"given": False, "managed": True}.get(labels.get(IAM_LABEL, ""))


def builder_of(labels: dict[str, str]) -> str | None:
    """The given build account that a live service remembers."""
    account, _, project = labels.get(BUILDER_LABEL, "").partition("_")
    return email_of(account, project) if project else None


def given(spec: Handed, resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """The stack without what is another hand's."""
    if spec.iam is not False:
        return tuple(resources)
    return tuple(r for r in resources if not isinstance(r, IamMember | ServiceAccount))


def tag(spec: Sized, name: str, context: BuildContext) -> str:
    """The image's tag: the hash of its context, and the build of torch where that is not the L4's."""
    cuda = _cuda(spec)
    return names.image_tag(spec.project, spec.region, name, context.short + ("" if cuda == CUDA else f"-{cuda}"))


def building(
    spec: Built, tag: str, context: BuildContext, *, teardown: bool, dockerfile: str = DOCKERFILE
) -> tuple[Resource, ...]:
    """What makes the image, with the account that builds."""
    given, cuda = spec.build_service_account, _cuda(spec)
    made = built(spec.project, spec.region, tag, context, given, dockerfile=dockerfile, cuda=cuda, asked_for=spec.name)
    if not (teardown and spec.build_service_account):
        return made
    # a service may have been built by both in its time: all that was granted for it goes
    own = built(spec.project, spec.region, tag, context, dockerfile=dockerfile, cuda=cuda)
    return (*(r for r in own if r.address not in {m.address for m in made}), *made)


def _cuda(spec: Sized) -> str:
    return GPUS[spec.gpu_type].cuda if spec.gpu_type in GPUS else CUDA


def _short(email: str) -> str:
    account, project = email.partition("@")[0], project_of(email)
    text = f"{account}_{project}"
    return text if email == email_of(account, project) and len(text) <= mark.LABEL_MOST and ":" not in project else ""
