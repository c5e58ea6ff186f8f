"""Cloud KMS as far as others encrypt with its keys: IAM policies of keys, service agents, who may use one. Holds no key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gemmactl.sandbox.gate import require_enabled
from gemmactl.sandbox.iam_methods import over_http
from gemmactl.sandbox.wire import Request, Response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

KEY: Final = r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/:]+"
POLICY: Final = re.compile(rf"/v1/(?P<key>{KEY}):(?P<verb>getIamPolicy|setIamPolicy|testIamPermissions)$")
IDENTITY: Final = re.compile(r"/v1beta1/projects/[^/]+/services/(?P<api>[^/:]+):generateServiceIdentity$")
STORAGE_AGENT: Final = re.compile(r"/storage/v1/projects/[^/]+/serviceAccount$")
AGENTS: Final = "agents"
# source: each product's page on customer-managed encryption keys
DOMAINS: Final = {
    "artifactregistry.googleapis.com": "gcp-sa-artifactregistry.iam",
    "secretmanager.googleapis.com": "gcp-sa-secretmanager.iam",
    "storage.googleapis.com": "gs-project-accounts.iam",
    "run.googleapis.com": "serverless-robot-prod.iam",
}


def policy(world: World, request: Request) -> Response:
    """A key's IAM policy. Every key that is named exists: what is in it is nobody's business here."""
    require_enabled(world, "cloudkms.googleapis.com")
    found = POLICY.match(request.path)
    if found is None:
        raise failed("NOT_FOUND", "Not Found")
    return over_http(world, request, world.name(found["key"]), found["verb"], "cloudkms.cryptoKeys")


def identity(world: World, request: Request) -> Response:
    """The service agent of an API, made if it is not there yet."""
    world.iam.require(request.caller, "serviceusage.services.enable", f"projects/{world.project}")
    found = IDENTITY.match(request.path)
    api = found["api"] if found else ""
    if api not in DOMAINS:
        raise failed("INVALID_ARGUMENT", f"The sandbox has no service agent of {api}")
    email = agent_of(world, api)
    world.store.put(AGENTS, email, {"api": api})
    made = {"@type": "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity", "email": email, "uniqueId": "1"}
    return json_response({"name": f"operations/identity.{api}", "done": True, "response": made})


def storage_agent(world: World, request: Request) -> Response:
    """Cloud Storage's own way to its agent."""
    world.iam.require(request.caller, "resourcemanager.projects.get", f"projects/{world.project}")
    return json_response({"kind": "storage#serviceAccount", "email_address": agent_of(world, "storage.googleapis.com")})


def agent_of(world: World, api: str) -> str:
    """E-mail of an API's service agent."""
    return f"service-{world.number}@{DOMAINS[api]}.gserviceaccount.com"


def require_key(world: World, key: str, api: str) -> None:
    """Nothing, or the refusal of a key that the API's agent may not use. guess: the words; each API has its own."""
    agent = agent_of(world, api)
    if key and not world.iam.holds(f"serviceAccount:{agent}", "cloudkms.cryptoKeyVersions.useToEncrypt", world.name(key)):
        raise failed(
            "PERMISSION_DENIED",
            f"Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource '{key}' (or it may not exist) for {agent}.",
        )
