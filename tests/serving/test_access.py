"""Who may call, from where, and which way requests go out: on the in-memory cloud, from wish to Result."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl import costs
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.surroundings import SubnetInfo
from gemmactl.result import Facts, Line
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.rollout import Way
from gemmactl.serving.status import status
from gemmactl.serving.traffic import rollback
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Answers, Ear, place, settings, with_model
from tests.serving.test_keys import Container

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
    assert status(place(cloud), settings(Path("nowhere")), "gemma", Ear()).data["invokers"] == sorted(wish.invokers)


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


@dataclass
class Careful(Ear):
    """Says yes to the questions that it knows."""

    yeses: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    def confirm(self, question: str, *, flag: str) -> bool:
        self.asked.append(question)
        return any(word in question for word in self.yeses)


def test_opening_is_asked_a_second_time_with_the_most_that_it_can_cost() -> None:
    """A yes to the plan alone opens nothing; more instances of an open service are asked for again, other changes are not."""
    cloud = with_model(FakeCloud())
    public = replace(WISH, auth="public")
    ear = Careful(yeses=("Apply",))
    with pytest.raises(Trouble) as caught:
        deploy(public, place(cloud), ear, yes=False)
    assert (caught.value.code, cloud.writes) == ("not-confirmed", [])
    assert ear.asked == ["Apply this plan?", "Open it to everybody?"]
    (said,) = [line for line in ear.said if line.startswith("--auth public")]
    assert "anybody on the internet" in said
    assert re.search(r"up to \$[\d,.]+ a month: 1 instance", said)
    ear = Careful(yeses=("Apply", "Open"))
    assert deploy(public, place(cloud), ear, yes=False).exit is Exit.OK
    for change, again in (({"timeout": 60}, 1), ({"max_instances": 2}, 2)):
        ear = Careful(yeses=("Apply", "Let callers"))
        public = replace(public, **change)  # type: ignore[arg-type]  # fields by name
        assert deploy(public, place(cloud), ear, yes=False).exit is Exit.OK
        assert len(ear.asked) == again
    shown = plan(public, place(with_model(FakeCloud())), again="")
    assert any("2 instances" in block.text for block in shown.blocks if isinstance(block, Line))


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"cpu": 8}, 2), ({"memory": "24Gi"}, 2), ({"cpu": 8, "memory": "32Gi"}, 2), ({"max_instances": 3}, 2),
        ({"gpu_type": "nvidia-rtx-pro-6000", "cpu": 20, "memory": "80Gi"}, 2),
        ({"max_instances": 1, "cpu": 8, "memory": "32Gi"}, 1), ({"timeout": 60}, 1),
    ],
)  # fmt: skip
def test_a_higher_monthly_ceiling_of_an_open_service_is_asked_for_again(change: dict[str, Any], asked: int) -> None:
    """Whatever raises it: CPU and memory as well; what it can cost then stands above. A lower one is not asked for."""
    cloud = with_model(FakeCloud())
    cloud.state.limits = {key: value * 100 for key, value in cloud.state.limits.items()}
    public = replace(WISH, auth="public", cpu=6, memory="16Gi", max_instances=2, given=frozenset({"cpu", "memory"}))
    deploy(public, place(cloud), Ear(), yes=True)
    ear, wish = Careful(yeses=("Apply", "Let callers")), replace(public, **change)
    assert deploy(wish, place(cloud), ear, yes=False).exit is Exit.OK
    assert ear.asked == ["Apply this plan?", "Let callers make it cost that much?"][:asked]
    assert any(costs.ceiling(wish) in line for line in ear.said) is (asked == 2)


def test_a_service_that_loses_its_keys_is_opened_by_a_second_yes() -> None:
    """Cloud Run let everybody through before, the container did not: who could only wake it may then use it."""
    cloud = with_model(FakeCloud())
    keyed, here = replace(WISH, auth="api-key"), place(cloud, Answers(401))
    deploy(keyed, here, Ear(), yes=True)
    cloud.state.services[NAME]["invokerIamDisabled"] = True  # as its smoke test with a key would have left it
    ear = Careful(yeses=("Apply",))
    with pytest.raises(Trouble) as caught:
        deploy(replace(keyed, auth="public"), here, ear, yes=False)
    assert (caught.value.code, ear.asked) == ("not-confirmed", ["Apply this plan?", "Let everybody call it without a key?"])
    assert any("anybody on the internet may then call it" in line for line in ear.said)
    ear = Careful(yeses=("Apply",))
    deploy(replace(keyed, timeout=60), here, ear, yes=False)
    assert ear.asked == ["Apply this plan?"]


def test_keys_are_told_what_they_do_not_keep_out() -> None:
    """Who has no key wakes the container all the same."""
    shown = plan(replace(WISH, auth="api-key"), place(with_model(FakeCloud())), again="")
    (line,) = (b.text for b in shown.blocks if isinstance(b, Line) and b.text.startswith("--auth"))
    assert "without a key the container answers nothing, but it runs" in line


def test_no_revision_without_a_guard_is_opened_with_one_that_has_it() -> None:
    """A tag of an old revision and a canary are refused; back to an old revision too, while the service is open."""
    cloud = with_model(FakeCloud())
    here = replace(place(cloud), api_key="")
    deploy(WISH, here, Ear(), yes=True)
    body = cloud.state.services[NAME]
    old = str(body["trafficStatuses"][0]["revision"])
    keyed = replace(WISH, auth="api-key")
    with pytest.raises(Trouble) as canary:
        deploy(keyed, here, Ear(), yes=True, way=Way(10))
    assert (canary.value.code, canary.value.exit) == ("revision-unguarded", Exit.REFUSED)
    tagged = [*body["trafficStatuses"], {"revision": old, "tag": "old"}]
    cloud.state.services[NAME] = {**body, "trafficStatuses": tagged}
    with pytest.raises(Trouble) as tag:
        deploy(keyed, here, Ear(), yes=True)
    assert "--remove-tags=old" in tag.value.remedy
    cloud.state.services[NAME] = body
    cloud.calls.clear()
    keyed_here = replace(here, wire=Container(cloud))
    assert deploy(keyed, keyed_here, Ear(), yes=True).exit is Exit.OK
    cloud.calls.clear()
    with pytest.raises(Trouble) as back:
        rollback(keyed_here, settings(Path("nowhere")), "gemma", Ear(), to=old)
    assert back.value.code == "revision-unguarded"
    assert cloud.writes == []


def test_all_traffic_through_a_subnet_without_google_access_is_refused() -> None:
    """Before anything is made, with the command that cures it; with private ranges alone it is no matter."""
    cloud = with_model(FakeCloud())
    cloud.state.subnets["projects/demo-proj/regions/us-central1/subnetworks/gpus"] = SubnetInfo("default", "10.0.0.0/20")
    result = deploy(replace(WISH, subnet="gpus", vpc_egress="all-traffic"), place(cloud), Ear(), yes=True)
    assert (result.exit, cloud.writes) == (Exit.REFUSED, [])
    assert "--enable-private-ip-google-access" in str(result.data)
    assert deploy(replace(WISH, subnet="gpus"), place(cloud), Ear(), yes=True).exit is Exit.OK


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
