"""Who may call, from where, and which way requests go out: on the in-memory cloud, from wish to Result."""

from dataclasses import replace
from pathlib import Path

from gemmactl.errors import Exit
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.result import Facts
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.status import status
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Answers, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
NAME = "projects/demo-proj/locations/us-central1/services/gemma"


def test_invokers_are_granted_on_the_service_alone() -> None:
    """After the service is there; the plan is then empty, and a deploy without them takes nothing away."""
    cloud = with_model(FakeCloud())
    wish = replace(WISH, invokers=("user:ann@example.com", "group:team@example.com"))
    assert deploy(wish, place(cloud), Ear(), yes=True).exit is Exit.OK
    target = PolicyTarget("service", NAME)
    assert cloud.state.policies[target] == {"roles/run.invoker": set(wish.invokers)}
    assert plan(wish, place(cloud), again="").data["changes"] == 0
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    assert cloud.state.policies[target] == {"roles/run.invoker": set(wish.invokers)}


def test_a_service_that_is_closed_to_the_outside_is_not_tried_from_here() -> None:
    """No request goes out, and the result says why; nothing pretends that a prompt was answered."""
    cloud, wire = with_model(FakeCloud()), Answers()
    result = deploy(replace(WISH, ingress="internal"), place(cloud, wire), Ear(), yes=True)
    assert result.exit is Exit.OK, result.problems
    assert (wire.sent, result.data["smoke"]) == ([], None)
    (facts,) = (b for b in result.blocks if isinstance(b, Facts))
    assert "not tried: its ingress" in dict(facts.rows)["smoke test"]


def test_what_nobody_says_stays_as_it_is() -> None:
    """Ingress and network of a live service outlive a deploy that names neither."""
    cloud = with_model(FakeCloud())
    wish = replace(WISH, ingress="internal", network="default", vpc_egress="all-traffic", network_tags=("gpu",))
    deploy(wish, place(cloud), Ear(), yes=True)
    body = cloud.state.services[NAME]
    interface = {"network": "default", "tags": ["gpu"]}
    assert body["template"]["vpcAccess"] == {"egress": "ALL_TRAFFIC", "networkInterfaces": [interface]}
    deploy(replace(WISH, max_instances=2), place(cloud), Ear(), yes=True)
    after = cloud.state.services[NAME]
    assert after["template"]["scaling"] == {"maxInstanceCount": 2}
    assert (after["ingress"], after["template"]["vpcAccess"]) == (body["ingress"], body["template"]["vpcAccess"])


def test_status_says_who_may_call_and_from_where(tmp_path: Path) -> None:
    """In gcloud's words."""
    cloud = with_model(FakeCloud())
    deploy(replace(WISH, auth="public", ingress="internal", subnet="gpus"), place(cloud), Ear(), yes=True)
    found = status(place(cloud), settings(tmp_path), "gemma", Ear())
    assert (found.data["auth"], found.data["ingress"]) == ("public", "internal")
    rows = dict(next(b.rows for b in found.blocks if isinstance(b, Facts)))
    assert rows["callers"] == "everybody"
    assert "internal" in rows["reached"]
    assert rows["network"] == "gpus"
