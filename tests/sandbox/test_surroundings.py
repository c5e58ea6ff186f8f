"""What lies around the pretended project: policies, billing and subnets, as the gateways read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import GoogleCloud, connect
from gemmactl.resources.surroundings import OrgPolicy, SubnetInfo
from gemmactl.sandbox.admin import Admin
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World

SUBNET = "projects/gemmactl-sandbox/regions/us-central1/subnetworks/inner"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    world = assemble(World(tmp_path / "home"))
    server = Server(world, admin=Admin("test", lambda: None))
    server.start()
    yield Endpoint(world.base_url, world.project, world.number, secret=world.secret)
    server.shutdown()
    server.server_close()
    world.close()


@pytest.fixture
def cloud(endpoint: Endpoint) -> GoogleCloud:
    found = connect(endpoint.project, endpoint)
    found.apis.enable([f"{name}.googleapis.com" for name in ("orgpolicy", "cloudbilling", "compute")])
    return found


def test_policies_are_told_as_they_are_set(endpoint: Endpoint, cloud: GoogleCloud) -> None:
    """Switches, allowed and denied values, and nothing at all; in the shape of the Organization Policy API v2."""
    endpoint.surround("org_policies", "iam.disableServiceAccountCreation", {"rules": [{"enforce": True}]})
    values = {"values": {"allowedValues": ["is:internal"], "deniedValues": ["is:all"]}}
    endpoint.surround("org_policies", "run.allowedIngress", {"rules": [values]})
    endpoint.surround("org_policies", "run.allowedVPCEgress", {"rules": [{"denyAll": True}]})
    ask = cloud.org_policies.effective
    assert ask("iam.disableServiceAccountCreation") == OrgPolicy(enforced=True)
    assert ask("run.allowedIngress") == OrgPolicy(allowed=("is:internal",), denied=("is:all",))
    assert ask("run.allowedVPCEgress") == OrgPolicy(deny_all=True)
    given = {"allowedMemberSubjects": ["user:b@x", "user:a@x"], "allowedPrincipalSets": []}
    endpoint.surround("org_policies", "iam.managed.allowedPolicyMembers", {"rules": [{"enforce": True, "parameters": given}]})
    assert ask("iam.managed.allowedPolicyMembers").parameters == (
        ("allowedMemberSubjects", ("user:a@x", "user:b@x")),
        ("allowedPrincipalSets", ()),
    )
    endpoint.surround("org_policies", "run.allowedIngress", None)
    assert ask("run.allowedIngress") == OrgPolicy()


def test_billing_and_subnets(endpoint: Endpoint, cloud: GoogleCloud) -> None:
    """Billing is on until it is taken away; a subnet has network, range, Private Google Access, and what is free of it."""
    assert cloud.projects.billed()
    endpoint.surround("billing", "projects/gemmactl-sandbox", {"billingEnabled": False})
    assert not cloud.projects.billed()
    endpoint.surround("subnets", SUBNET, {"network": "lan", "ipCidrRange": "10.0.0.0/24", "privateIpGoogleAccess": True})
    lan = SubnetInfo("lan", "10.0.0.0/24", private_google_access=True)
    assert cloud.subnets.get(SUBNET) == lan
    used = {"ipv4Utilizations": [{"rangeName": "pods", "totalFreeIp": "1"}, {"totalAllocatedIp": "241", "totalFreeIp": "11"}]}
    known = {"network": "lan", "ipCidrRange": "10.0.0.0/24", "privateIpGoogleAccess": True, "utilizationDetails": used}
    endpoint.surround("subnets", SUBNET, known)
    assert cloud.subnets.get(SUBNET) == replace(lan, free=11)


def test_a_caller_without_the_right_is_told_which(endpoint: Endpoint, cloud: GoogleCloud) -> None:
    """The denial names orgpolicy.policy.get, so that a check can end as unknown and say so."""
    stranger = connect(endpoint.project, Endpoint(endpoint.base_url, endpoint.project, endpoint.number, "x@y.z", endpoint.secret))
    assert cloud.login().kind == "sandbox"
    with pytest.raises(Trouble) as denied:
        stranger.org_policies.effective("run.allowedIngress")
    assert denied.value.facts["permission"] == "orgpolicy.policy.get"


def test_nothing_else_can_be_placed(endpoint: Endpoint) -> None:
    """A collection of the sandbox's own state is no surrounding."""
    with pytest.raises(Trouble, match="refused"):
        endpoint.surround("policies", "projects/x", {})
