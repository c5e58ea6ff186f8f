"""The part of a stack that encrypts with a customer's key: who may use it, and what is made with it. Knows no cloud."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gemmactl.kernel.resource import Resource
from gemmactl.resources import apis
from gemmactl.resources.agent_grant import AgentGrant, agent_grant
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.job import Job
from gemmactl.resources.repository import Repository
from gemmactl.resources.secret import Secret
from gemmactl.resources.service import Service
from gemmactl.spec_parts import Keyed


def encrypted(spec: Keyed, resources: Iterable[Resource], *, teardown: bool) -> tuple[Resource, ...]:
    """The stack with --kms-key: each service agent may use it before the first thing is made with it."""
    found = tuple(resources)
    if spec.kms_key is None or teardown:
        return found
    kinds: dict[str, tuple[type[Resource], ...]] = {
        "artifactregistry.googleapis.com": (Repository,),
        "secretmanager.googleapis.com": (Secret,),
        "storage.googleapis.com": (Bucket,),
        "run.googleapis.com": (Service, Job),
    }
    after, number = (apis.ADDRESS,), spec.project_number
    grants = {
        kind: agent_grant(spec.kms_key, api, number, after)
        for api, kind in kinds.items()
        if number and any(isinstance(r, kind) for r in found)
    }
    return (*(_with(spec.kms_key, r, grants) for r in found), *grants.values())


def _with(key: str, resource: Resource, grants: dict[tuple[type[Resource], ...], AgentGrant]) -> Resource:
    first = next((grant.address for kind, grant in grants.items() if isinstance(resource, kind)), "")
    match resource:
        case Repository() | Secret() | Bucket():
            return replace(resource, kms_key=key, after=(*resource.after, *([first] if first else [])))
        case Service() | Job():
            return replace(resource, encryption_key=key, after=(*resource.after, *([first] if first else [])))
        case Apis():
            return Apis((*resource.names, "cloudkms.googleapis.com"), resource.after)
        case _:
            return resource
