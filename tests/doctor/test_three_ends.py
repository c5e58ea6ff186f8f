"""Every live check on a ground that concerns them all: each ends as ok, as its own finding, and as unknown with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from gemmactl.doctor.checks.check import Ground, Verdict
from gemmactl.doctor.checks.rows import CHECKS
from gemmactl.doctor.checks.run import run
from gemmactl.errors import Trouble
from gemmactl.local.hub_account import HubAccount
from gemmactl.resources.cloud import BucketInfo, PolicyTarget
from gemmactl.resources.service_types import Vpc
from gemmactl.resources.surroundings import Login, SubnetInfo
from gemmactl.spec import SecretRef
from tests.doctor.test_checks import SUBNET, WISH, cloud_with, ground
from tests.fakes.cloud import DIGEST, FakeCloud
from tests.fakes.refusal import refusal

IMAGE: Final = "us-docker.pkg.dev/team-proj/r/i:1"
SECRET: Final = "projects/demo-proj/secrets/team"
SERVICE: Final = "projects/demo-proj/locations/us-central1/services/gemma"
REPOSITORY: Final = PolicyTarget("repository", "projects/team-proj/locations/us/repositories/r")
AGENT: Final = "serviceAccount:service-123456789012@serverless-robot-prod.iam.gserviceaccount.com"
NAMED: Final = "run@demo-proj.iam.gserviceaccount.com"
POLICY: Final = "org policy "
ASK_NOBODY: Final = {"credentials", "service", "GPU region"}
"""What this machine knows by itself."""
BELONG: Final = tuple(check.name for check in CHECKS if not check.name.startswith(POLICY))
WHOLE: Final = replace(
    WISH,
    image=IMAGE,
    service_account=NAMED,
    hf_token=SecretRef("team", "1"),
    secrets=(("KEY", SecretRef("team", "1")),),
)


def whole() -> FakeCloud:
    """A project in which nothing is wrong."""
    cloud = cloud_with(
        images={IMAGE: DIGEST},
        subnets={SUBNET: SubnetInfo("net", "10.0.0.0/24", private_google_access=True, free=200)},
        services={SERVICE: {"name": SERVICE}},
        policies={REPOSITORY: {"roles/artifactregistry.reader": {AGENT}}},
        secrets={SECRET: {}},
        versions={SECRET: [("ENABLED", b"hf_canary")]},
    )
    cloud.accounts.create("run", "", "")
    cloud.who = Login("authorized_user", quota_project="demo-proj")
    return cloud


def knows(_token: str) -> HubAccount | None:
    return HubAccount("ada", "read")


def on(cloud: FakeCloud, whoami: Callable[[str], HubAccount | None] = knows, **service: Any) -> Ground:
    made = ground(cloud, WHOLE, live=True, **{"vpc": Vpc("net", "inner", egress="ALL_TRAFFIC"), **service})
    return replace(made, values=True, hf_token="hf_canary", whoami=whoami)


def ends(place: Ground) -> Mapping[str, Verdict]:
    return {verdict.check: verdict for verdict in run(CHECKS, place)}


def test_all_are_asked_and_all_is_well() -> None:
    """No check stands aside here, so a new one is counted by itself; none of them shows a secret."""
    found = ends(on(whole()))
    assert tuple(found) == tuple(check.name for check in CHECKS)
    assert {name: verdict.seen for name, verdict in found.items() if verdict.end != "ok"} == {}
    assert "hf_canary" not in str([verdict.document() for verdict in found.values()])


def _state(**changes: object) -> Callable[[FakeCloud], Ground]:
    def spoil(cloud: FakeCloud) -> Ground:
        for name, value in changes.items():
            setattr(cloud.state, name, value)
        return on(cloud)

    return spoil


def _login(login: Login, *, held: frozenset[str] | None = None) -> Callable[[FakeCloud], Ground]:
    def spoil(cloud: FakeCloud) -> Ground:
        cloud.who, cloud.held = login, held
        return on(cloud)

    return spoil


def _without_agent(cloud: FakeCloud) -> Ground:
    cloud.agent = False
    return on(cloud)


def _open(cloud: FakeCloud) -> Ground:
    cloud.policies.add(PolicyTarget("service", SERVICE), "roles/run.invoker", "allUsers")
    return on(cloud)


SPOILT: Final[dict[str, Callable[[FakeCloud], Ground]]] = {
    "credentials": _login(Login("authorized_user", quota_project="demo-proj", gcloud_account="admin@sandbox.invalid")),
    "quota project": _login(Login("authorized_user", quota_project="elsewhere"), held=frozenset()),
    "project": _state(project_state="DELETE_REQUESTED"),
    "billing": _state(billed=False),
    "service": lambda cloud: on(cloud, gpu_type="nvidia-a100"),
    "GPU region": lambda cloud: on(cloud, region="us-west2"),
    "quota": _state(limits=dict.fromkeys(whole().state.limits, 0.0)),
    "bucket": _state(buckets={}),
    "secrets": _state(versions={SECRET: [("DISABLED", b"")]}),
    "service accounts": _state(accounts={}),
    "service agent": _without_agent,
    "image": _state(images={}),
    "image of another project": _state(policies={}),
    "bucket access": _state(buckets={"weights": BucketInfo("weights", "us-central1", uniform_access=False)}),
    "secret values": _state(versions={SECRET: [("ENABLED", b"hf_canary\n")]}),
    "image platform": _state(platforms={IMAGE: ("linux/arm64",)}),
    "Hugging Face token": lambda cloud: on(cloud, lambda _token: None),
    "subnet": _state(subnets={}),
    "invoker": _open,
}
"""Check -> a project in which it has something to say. Those of organization policies have a test of their own."""


@pytest.mark.parametrize("name", BELONG)
def test_each_has_something_to_find(name: str) -> None:
    """A finding with a title, a cause, a remedy and a line to type; a secret's value is not among its words."""
    verdict = ends(SPOILT[name](whole()))[name]
    assert verdict.end == "finding"
    for finding in verdict.findings:
        assert all((finding.title, finding.cause, finding.remedy))
        assert finding.commands or name in ("service", "Hugging Face token")
    assert "hf_canary" not in str(verdict.document())


def test_who_may_look_at_nothing_knows_nothing() -> None:
    """Each that asks the cloud is unknown and names the permission that is missing; none is ok."""
    cloud = whole()

    def refuse(_name: str) -> None:
        raise refusal(403, "The caller does not have permission")

    def silent(_token: str) -> HubAccount | None:
        raise Trouble("the hub can't be reached", why="no network", remedy="", code="network")

    cloud.before_call = refuse
    found = {name: verdict for name, verdict in ends(on(cloud, silent)).items() if name not in ASK_NOBODY}
    assert {verdict.end for verdict in found.values()} == {"unknown"}
    assert [name for name, verdict in found.items() if not verdict.permission] == ["Hugging Face token"]
    assert all(verdict.permission in verdict.seen for verdict in found.values())


def test_where_every_api_is_off_nothing_is_known_either() -> None:
    """Unknown until that API is enabled; what asks an API that is always on is not among them."""
    cloud = whole()
    cloud.enforce_apis, cloud.state.apis = True, set()
    found = {name: verdict for name, verdict in ends(on(cloud)).items() if verdict.end != "ok"}
    assert set(found) == {c.name for c in CHECKS} - ASK_NOBODY - {"project", "Hugging Face token"}
    assert all(verdict.api and verdict.seen == f"unknown until {verdict.api} is enabled" for verdict in found.values())
