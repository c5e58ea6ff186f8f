"""What lies around a project: organization policies, billing, subnets; read only, as plain JSON. Knows no resource of a deploy.

Nothing here is made by a caller: a test or a demonstration puts it there by `/-/surroundings`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox.gate import require_enabled
from gemmactl.sandbox.projects_api import require_project
from gemmactl.sandbox.wire import Request, Response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

POLICY: Final = re.compile(r"/v2/(projects/[^/]+)/policies/([\w.]+):getEffectivePolicy$")
BILLING: Final = re.compile(r"/v1/(projects/[^/]+)/billingInfo$")
SUBNET: Final = re.compile(r"/compute/v1/(projects/[^/]+)/regions/([^/]+)/subnetworks/([^/]+)$")
POLICIES, ACCOUNTS, SUBNETS = COLLECTIONS = ("org_policies", "billing", "subnets")
NO_DEFAULT: Final = "compute.skipDefaultNetworkCreation"
DEFAULT: Final = {"network": "default", "ipCidrRange": "10.128.0.0/20", "privateIpGoogleAccess": False}
"""A new project has a subnet of its default network in every region, each a /20, without Private Google Access.

source: cloud.google.com/vpc/docs/vpc, "Default network" and "Auto mode IPv4 ranges"; each region has a range of its own there.
"""
_ACCOUNT: Final = "000000-000000-000000"


def put(world: World, body: dict[str, Any]) -> None:
    """Place or, with no document, remove one thing: a policy's `spec` by constraint, `{"billingEnabled": ...}`, a subnet."""
    collection, name, document = str(body.get("collection")), str(body.get("name", "")), body.get("document")
    if collection not in COLLECTIONS or not (document is None or isinstance(document, dict)):
        raise failed("INVALID_ARGUMENT", f"collection must be one of {', '.join(COLLECTIONS)}")
    if document is None:
        world.store.delete(collection, name)
    else:
        world.store.put(collection, name, document)


def policy(world: World, request: Request) -> Response:
    """google.cloud.orgpolicy.v2.OrgPolicy.GetEffectivePolicy: what nobody set is an empty spec."""
    project, constraint = _parts(world, request, POLICY, "orgpolicy.googleapis.com", "orgpolicy.policy.get")
    name = f"{project.replace(world.project, world.number)}/policies/{constraint}"
    return json_response({"name": name, "spec": world.store.get(POLICIES, constraint) or {}})


def billing(world: World, request: Request) -> Response:
    """google.cloud.billing.v1.CloudBilling.GetProjectBillingInfo."""
    (project,) = _parts(world, request, BILLING, "cloudbilling.googleapis.com", "resourcemanager.projects.get")
    enabled = bool((world.store.get(ACCOUNTS, project) or {"billingEnabled": True})["billingEnabled"])
    account = {"billingAccountName": f"billingAccounts/{_ACCOUNT}", "billingEnabled": True} if enabled else {}
    return json_response({"name": f"{project}/billingInfo", "projectId": world.project, **account})


def subnet(world: World, request: Request) -> Response:
    """compute.subnetworks.get."""
    project, region, name = _parts(world, request, SUBNET, "compute.googleapis.com", "compute.subnetworks.get")
    full = f"{project}/regions/{region}/subnetworks/{name}"
    document = world.store.get(SUBNETS, full)
    if document is None and name == "default" and not world.store.get(POLICIES, NO_DEFAULT):
        document = DEFAULT
    if document is None:
        # source: Compute Engine's text in public reports
        raise failed("NOT_FOUND", f"The resource '{full}' was not found")
    if request.query.get("views") != ["WITH_UTILIZATION"]:
        document = {key: value for key, value in document.items() if key != "utilizationDetails"}
    link = f"https://www.googleapis.com/compute/v1/{project}"
    network = f"{link}/global/networks/{document.get('network', 'default')}"
    return json_response(
        {"kind": "compute#subnetwork", "name": name, "region": f"{link}/regions/{region}", **document, "network": network}
    )


HANDLERS: Final = ((POLICY, policy), (BILLING, billing), (SUBNET, subnet))


def _parts(world: World, request: Request, path: re.Pattern[str], api: str, permission: str) -> tuple[str, ...]:
    """The words of the path, project first, once the caller may read it."""
    found = path.match(request.path)
    if found is None or request.method != "GET":
        raise failed("NOT_FOUND", f"The sandbox has no route for {request.method} {request.path}")
    require_enabled(world, api)
    project = world.name(found[1])
    require_project(world, project)
    world.iam.require(request.caller, permission, project)
    return (project, *found.groups()[1:])
