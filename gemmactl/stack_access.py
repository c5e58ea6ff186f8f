"""The part of a stack that says who may call a service, from where, and which way its requests go. Knows no cloud."""

from __future__ import annotations

from typing import Final

from gemmactl.kernel.resource import Resource
from gemmactl.resources import apis, names
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.secret import Secret
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import EGRESS, INGRESS, Mount, Probe, SecretItem, SecretVolume, Volume, Vpc
from gemmactl.spec import Serve, Token
from gemmactl.spec_parts import Networked
from inference_image import api_keys, contract

_VOLUME: Final = "api-keys"


def ingress(spec: Serve) -> str | None:
    """None: no opinion, a live service keeps what it has."""
    return None if spec.ingress is None else INGRESS[spec.ingress]


def network(spec: Networked) -> Vpc | None:
    """Direct VPC egress; None: no opinion, likewise."""
    if spec.network is None and spec.subnet is None:
        return None
    egress = None if spec.vpc_egress is None else EGRESS[spec.vpc_egress]
    return Vpc(spec.network, spec.subnet, spec.network_tags or None, egress)


def keys(spec: Serve, *, teardown: bool) -> Secret | None:
    """The secret with the hashes of the API keys, none at first. Looked for by every teardown: --auth may have been another."""
    if spec.auth != "api-key" and not teardown:
        return None
    nobody = Token(api_keys.written(()).decode())
    return Secret(spec.project, _keys_secret(spec), spec.region, value=nobody, after=(apis.ADDRESS,))


def volumes(spec: Serve) -> tuple[Volume, ...] | None:
    """The keys as a file that is fetched at each reading, so that new and revoked ones need no new revision.

    None: no opinion; the volume of a service that asked for keys once stays, and nothing reads it.
    """
    if spec.auth != "api-key":
        return None
    return (SecretVolume(_VOLUME, _keys_secret(spec), (SecretItem(contract.KEYS_FILE, "latest"),)),)


def _keys_secret(spec: Serve) -> str:
    return spec.keys_secret or names.keys_secret(spec.name, spec.region)


def mounts(spec: Serve) -> tuple[Mount, ...] | None:
    return (Mount(_VOLUME, contract.KEYS_FOLDER),) if spec.auth == "api-key" else None


def environment(spec: Serve) -> dict[str, str]:
    return {contract.ENV_KEYS: f"{contract.KEYS_FOLDER}/{contract.KEYS_FILE}"} if spec.auth == "api-key" else {}


def probe(spec: Serve) -> Probe:
    """The startup probe. It has no API key: where one is asked for, it learns from /health what /ready would say."""
    wish = spec.probe
    keyless = spec.auth == "api-key" and wish.path == contract.ROUTE_READY
    return Probe(
        "tcp" if wish.tcp else "http",
        port=wish.port,
        path=None if wish.tcp else contract.ROUTE_HEALTH if keyless else wish.path,
        initial_delay=wish.initial_delay,
        timeout=wish.timeout,
        period=wish.period,
        failures=wish.failures,
        headers=((contract.PROBE_HEADER, "ready"),) if keyless else None,
    )


def opened(spec: Serve, service: Service) -> tuple[Resource, ...]:
    """The service, then who is let in by name. Additive, like every grant of ours: who may call already keeps that."""
    target = PolicyTarget("service", service.full_name)
    grants = (IamMember(target, "roles/run.invoker", member, after=(service.address,)) for member in spec.invokers)
    return (service, *grants)
