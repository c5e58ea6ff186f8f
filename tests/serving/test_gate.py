"""APIs that only checks ask: enabled by the same step, looked through right after it, and nobody is refused for want of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from gemmactl.errors import Exit
from gemmactl.kernel.events import Log
from gemmactl.resources import quota
from gemmactl.resources.surroundings import OrgPolicy
from gemmactl.result import Verbatim
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.for_admin import for_admin
from gemmactl.spec import Serve, parse_model
from gemmactl.ui.layout import lay
from tests.fakes.cloud import Apis, FakeCloud, refusal
from tests.serving.ear import Ear, place, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
ASKED = frozenset(f"{name}.googleapis.com" for name in ("cloudbilling", "cloudquotas", "orgpolicy"))
"""What the checks of any deploy with a GPU ask, and nothing else of it."""


@pytest.fixture
def fresh() -> FakeCloud:
    """A project as it is born: little more than Cloud Storage is enabled."""
    made = with_model(FakeCloud())
    made.enforce_apis = True
    made.state.apis |= {"storage.googleapis.com", "logging.googleapis.com", "serviceusage.googleapis.com"}
    return made


def test_the_plan_says_which_apis_are_for_the_checks(fresh: FakeCloud) -> None:
    """The step names them, no more than this deploy asks: a network is looked at only where one is wished."""
    plain, wired = (
        "\n".join(line.text for line in lay(plan(wish, place(fresh), again="").blocks, 1000))
        for wish in (WISH, replace(WISH, network="default", subnet="default", given=WISH.given | {"network", "subnet"}))
    )
    assert "cloudbilling, cloudquotas, orgpolicy are for the checks alone, which look again right after this step" in plain
    assert "cloudbilling, cloudquotas, compute, orgpolicy are for the checks alone" in wired
    assert fresh.writes == []


def test_a_quota_below_the_wish_ends_it_right_after_the_apis(fresh: FakeCloud) -> None:
    """Before anything is built: exit 4 with the code, the quota's name and the instances that fit; nothing else is made."""
    fresh.state.limits[quota.GPU["nvidia-l4"][0], "us-central1"] = 2.0
    wish = replace(WISH, max_instances=5, given=WISH.given | {"max_instances"})
    result = deploy(wish, place(fresh), Ear(), yes=True)
    (problem,) = result.problems
    assert (result.exit, problem.code, result.next) == (Exit.REFUSED, "quota-too-small", ())
    assert "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion requested: 5 GPU allowed: 2" in problem.why
    assert "nothing else was made" in problem.why
    assert "use --max-instances 2" in problem.remedy
    assert [call.name for call in fresh.writes] == ["apis.enable"]
    again = deploy(replace(wish, max_instances=2), place(fresh), Ear(), yes=True)
    assert again.exit is Exit.OK


def test_all_that_is_seen_then_is_told_at_once(fresh: FakeCloud) -> None:
    """Billing, a policy and the quota, each hidden by another API."""
    fresh.state.limits[quota.GPU["nvidia-l4"][0], "us-central1"] = 2.0
    fresh.state.billed, fresh.state.org_policies = False, {"run.allowedIngress": OrgPolicy(allowed=("internal",))}
    result = deploy(replace(WISH, max_instances=5), place(fresh), Ear(), yes=True)
    (problem,) = result.problems
    assert [f["code"] for f in problem.facts["findings"]] == ["billing-off", "org-policy"]
    assert problem.code == "quota-too-small"
    assert [call.name for call in fresh.writes] == ["apis.enable"]


def test_the_quota_is_told_with_all_else_that_would_fail() -> None:
    """Where every API is on: GPUs and memory in one sentence with the instances that fit both, beside billing and a policy."""
    cloud = with_model(FakeCloud())
    cloud.state.limits |= {(quota.GPU["nvidia-l4"][0], "us-central1"): 4.0, (quota.MEMORY, "us-central1"): 40.0 * 2**30}
    cloud.state.billed, cloud.state.org_policies = False, {"run.allowedIngress": OrgPolicy(allowed=("internal",))}
    wish = replace(WISH, max_instances=5, cpu=4, memory="16Gi", given=WISH.given | {"max_instances", "cpu", "memory"})
    for result in (deploy(wish, place(cloud), Ear(yes=None), yes=False), plan(wish, place(cloud), again="")):
        assert result.exit is Exit.REFUSED
        found = {problem.code: problem for problem in result.problems}
        assert set(found) == {"billing-off", "quota-too-small", "org-policy"}
        assert "requested: 5 GPU allowed: 4" in found["quota-too-small"].why
        assert "requested: 80 GiB allowed: 40" in found["quota-too-small"].why
        assert "use --max-instances 2" in found["quota-too-small"].remedy
    assert cloud.writes == []


def test_a_fresh_project_converges_in_one_deploy(fresh: FakeCloud) -> None:
    """All that the checks ask is enabled with the rest, and nothing is left to do or unknown."""
    assert deploy(WISH, place(fresh), Ear(), yes=True).exit is Exit.OK
    assert fresh.state.apis >= ASKED
    assert "compute.googleapis.com" not in fresh.state.apis
    after = plan(WISH, place(fresh), again="")
    assert (after.data["changes"], [c["check"] for c in after.data["checks"] if c["end"] == "unknown"]) == (0, [])


def test_nothing_is_enabled_for_checks_alone(fresh: FakeCloud) -> None:
    """Somebody switched them off later: a deploy that changes nothing changes nothing, one that does brings them back."""
    deploy(WISH, place(fresh), Ear(), yes=True)
    fresh.state.apis -= ASKED
    assert plan(WISH, place(fresh), again="").data["changes"] == 0
    more = plan(replace(WISH, max_instances=2, given=WISH.given | {"max_instances"}), place(fresh), again="").data["steps"]
    assert {step["kind"] for step in more if step["op"] != "keep"} == {"apis", "service"}


def test_who_may_not_enable_them_deploys_all_the_same(fresh: FakeCloud) -> None:
    """The checks end as unknown with the API's name, nothing is refused, and the administrator's half enables them."""
    deploy(WISH, place(fresh), Ear(), yes=True)
    fresh.state.apis -= ASKED
    fresh.lacking = frozenset({"serviceusage.services.enable"})
    wish = replace(WISH, max_instances=2, given=WISH.given | {"max_instances"})
    result = deploy(wish, place(fresh), Ear(), yes=True)
    assert (result.exit, "apis" in result.data["done"]) == (Exit.OK, False)
    seen = {c["check"]: c["api"] for c in plan(wish, place(fresh), again="").data["checks"] if c["end"] == "unknown"}
    assert seen["quota"] == "cloudquotas.googleapis.com"
    half = for_admin(wish, place(fresh), Ear(), form="gcloud", again="gemmactl deploy gs://weights/m")
    (block,) = half.blocks
    assert isinstance(block, Verbatim)
    (line,) = [text for text in block.text.splitlines() if "services enable" in text]
    assert all(name in line for name in ASKED)


def test_one_that_is_forbidden_does_not_take_the_others_with_it(fresh: FakeCloud) -> None:
    """All are enabled in one call, which fails as a whole: then what is needed alone, and it is said what stays unknown."""

    class Forbids(Apis):
        def enable(self, names: Iterable[str]) -> None:
            if ASKED & set(names := tuple(names)):
                raise refusal(403, "an organization policy forbids cloudbilling.googleapis.com")
            super().enable(names)

    fresh.apis = Forbids(fresh)
    ear = Ear()
    assert deploy(WISH, place(fresh), ear, yes=True).exit is Exit.OK
    assert not fresh.state.apis & ASKED
    told = [event.text for event in ear.told if isinstance(event, Log)]
    assert any(text.startswith("not enabled: cloudbilling") and "stays unknown" in text for text in told)
    assert "quota: unknown until cloudquotas.googleapis.com is enabled" in told
    assert plan(WISH, place(fresh), again="").data["changes"] == 0
