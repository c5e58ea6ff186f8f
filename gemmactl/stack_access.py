"""The part of a stack that says who may call a service, from where, and which way its requests go. Knows no cloud."""

from __future__ import annotations

from gemmactl.kernel.resource import Resource
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import EGRESS, INGRESS, Vpc
from gemmactl.spec import Serve


def ingress(spec: Serve) -> str | None:
    """None: no opinion, a live service keeps what it has."""
    return None if spec.ingress is None else INGRESS[spec.ingress]


def network(spec: Serve) -> Vpc | None:
    """Direct VPC egress; None: no opinion, likewise."""
    if spec.network is None and spec.subnet is None:
        return None
    egress = None if spec.vpc_egress is None else EGRESS[spec.vpc_egress]
    return Vpc(spec.network, spec.subnet, spec.network_tags or None, egress)


def opened(spec: Serve, service: Service) -> tuple[Resource, ...]:
    """The service, then who is let in by name. Additive, like every grant of ours: who may call already keeps that."""
    target = PolicyTarget("service", service.full_name)
    grants = (IamMember(target, "roles/run.invoker", member, after=(service.address,)) for member in spec.invokers)
    return (service, *grants)
