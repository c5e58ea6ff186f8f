"""The preflight of plan and deploy: all that would fail at once, before anything; what could not be seen, seen again."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl import stack
from gemmactl.errors import Exit
from gemmactl.resources.surroundings import OrgPolicy
from gemmactl.result import Table
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.grounding import survey
from gemmactl.serving.recall import recalled
from gemmactl.serving.repair import repair
from gemmactl.serving.rollout import Way
from gemmactl.spec import SecretRef, Serve, parse_model
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud, refusal
from tests.serving.ear import Answers, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
INGRESS = {"run.allowedIngress": OrgPolicy(allowed=("internal",))}


def test_all_faults_are_named_at_once_before_anything() -> None:
    """Exit 4 with one problem and remedy for each; no write call, and nobody is asked."""
    cloud = with_model(FakeCloud())
    cloud.state.billed, cloud.state.org_policies = False, dict(INGRESS)
    for result in (
        deploy(replace(WISH, hf_token=SecretRef("team", "3")), place(cloud), Ear(yes=None), yes=False),
        plan(replace(WISH, hf_token=SecretRef("team", "3")), place(cloud), again="gemmactl deploy x"),
    ):
        assert result.exit is Exit.REFUSED
        assert [p.code for p in result.problems] == ["billing-off", "secret-missing", "org-policy"]
        assert all(p.remedy for p in result.problems)
        assert [v["check"] for v in result.data["checks"] if v["end"] == "finding"] == [
            "billing",
            "secrets",
            "org policy run.allowedIngress",
        ]
        assert result.next == ()
    assert cloud.writes == []


def test_missing_rights_are_named_with_their_least_role() -> None:
    """One problem for each role and thing, with the steps that need it, and where the administrator's half is printed."""
    cloud = with_model(FakeCloud())
    cloud.held = frozenset({"serviceusage.services.enable"})
    result = plan(WISH, place(cloud), again="")
    assert result.exit is Exit.REFUSED
    (run,) = [p for p in result.problems if "run.services.create" in p.what]
    assert "service us-central1/gemma" in run.why
    assert "--role=roles/run.developer" in run.remedy
    assert "plan --for-admin" in run.remedy
    assert cloud.writes == []


def test_what_may_not_be_looked_at_is_named_with_its_permission() -> None:
    """Two things that the caller may not see: both missing rights are told at once, before anything."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    cloud.calls.clear()

    def refuse(name: str) -> None:
        if name in ("repositories.digest", "storage.bucket"):
            raise refusal(403, "denied")

    cloud.before_call, cloud.held = refuse, frozenset()
    result = deploy(WISH, place(cloud), Ear(yes=None), yes=False)
    assert result.exit is Exit.REFUSED
    told = " ".join(p.what for p in result.problems)
    assert "artifactregistry.tags.get" in told
    assert "storage.buckets.get" in told
    assert cloud.writes == []


def test_nothing_is_asked_of_rights_when_nothing_is_due() -> None:
    """A deploy that changes nothing asks for no permission, and reads each thing once."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    cloud.calls.clear()
    cloud.held = frozenset()
    assert plan(WISH, place(cloud), again="").exit is Exit.OK
    assert not any(c.name == "policies.test" for c in cloud.calls)


def test_a_deploy_that_changes_nothing_looks_once() -> None:
    """All reads of the plan and all checks meet each other: one round, whatever their number."""
    cloud = with_model(FakeCloud())
    here = place(cloud)
    assert deploy(WISH, here, Ear(), yes=True).exit is Exit.OK
    wanted = stack.serving(recalled(here, "gemma", next(iter(cloud.state.services.values()))))
    cloud.calls.clear()
    assert survey(wanted, here, bucket="weights", live=True).plan.work == ()
    meet = threading.Barrier(len(cloud.calls), timeout=30)
    assert meet.parties > 30
    cloud.before_call = lambda _name: meet.wait() and None
    assert survey(wanted, here, bucket="weights", live=True).plan.work == ()


def test_doctor_shows_the_same_checks(tmp_path: Path) -> None:
    """What a deploy would refuse is a finding of doctor; checks that wait for an API are one advice and no fault."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    cloud.enforce_apis = True
    cloud.state.apis |= {"storage.googleapis.com", "cloudquotas.googleapis.com"}
    fine = repair(place(cloud), settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert (fine.exit, [f["state"] for f in fine.data["findings"]]) == (Exit.OK, ["advice"])
    assert "unknown until cloudbilling.googleapis.com, orgpolicy.googleapis.com are enabled" in fine.data["findings"][0]["title"]
    assert ["run.allowedIngress" in fine.data["findings"][0][key] for key in ("title", "cause")] == [False, True]
    cloud.enforce_apis = False
    cloud.state.billed, cloud.state.org_policies = False, dict(INGRESS)
    bad = repair(place(cloud), settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert (bad.exit, [f["code"] for f in bad.data["findings"]]) == (Exit.FOUND, ["billing-off", "org-policy"])

    def refuse(name: str) -> None:
        if name == "org_policies.effective":
            raise refusal(403, "denied", permission="orgpolicy.policy.get")

    cloud.before_call, cloud.state.billed = refuse, True
    blind = repair(place(cloud), settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert [(f["state"], f["permission"]) for f in blind.data["findings"]] == [("unknown", "orgpolicy.policy.get")]


def test_what_may_bite_is_a_remark() -> None:
    """It is shown with its remedy before the yes; the deploy goes on."""
    cloud = with_model(FakeCloud())
    cloud.state.org_policies["run.allowedBinaryAuthorizationPolicies"] = OrgPolicy(allowed=("default",))
    ear = Ear()
    assert deploy(WISH, place(cloud), ear, yes=True).exit is Exit.OK
    assert any("run.allowedBinaryAuthorizationPolicies" in line for line in ear.said)


def test_what_is_unknown_is_one_line_and_every_check_with_explain() -> None:
    """The reason stands there once for all that share it."""
    cloud = with_model(FakeCloud())
    cloud.enforce_apis = True
    cloud.state.apis |= {"storage.googleapis.com"}
    short, long = plan(WISH, place(cloud), again=""), plan(WISH, place(cloud), again="", explain=True)
    (line,) = [text.text for text in lay(short.blocks, 1000) if text.text.startswith("not known: ")]
    assert "24 checks until these APIs are enabled: cloudbilling, cloudquotas, cloudresourcemanager, orgpolicy, run (plan" in line
    table = [b for b in long.blocks if isinstance(b, Table) and b.columns[0] == "check"]
    assert len(table[0].rows) == len(long.data["checks"]) > 20
    assert ("billing", "unknown", "unknown until cloudbilling.googleapis.com is enabled") in table[0].rows


def test_what_waited_for_an_api_is_looked_at_again_right_after_it() -> None:
    """The secret's version could not be seen before Secret Manager was enabled; it is missing, so nothing else is made."""
    cloud = with_model(FakeCloud())
    cloud.enforce_apis = True
    cloud.state.apis |= {"storage.googleapis.com", "iam.googleapis.com", "run.googleapis.com"}
    result = deploy(replace(WISH, hf_token=SecretRef("team", "3")), place(cloud), Ear(), yes=True)
    assert result.exit is Exit.REFUSED
    assert [p.code for p in result.problems] == ["secret-missing"]
    assert [c.name for c in cloud.writes] == ["apis.enable"]
    cloud.secrets.create("projects/demo-proj/secrets/team", "us-central1", {})
    cloud.state.versions["projects/demo-proj/secrets/team"] = [("ENABLED", b"x")] * 3
    assert deploy(replace(WISH, hf_token=SecretRef("team", "3")), place(cloud), Ear(), yes=True).exit is Exit.OK


@pytest.mark.parametrize("granted", [True, False])
def test_your_permissions_are_asked_again_once_they_can_be(*, granted: bool) -> None:
    """With Resource Manager off nobody knows what the caller may; right after it is on, what is missing ends the deploy."""
    cloud = with_model(FakeCloud())
    cloud.enforce_apis = True
    cloud.state.apis |= {"storage.googleapis.com", "iam.googleapis.com", "run.googleapis.com"}
    cloud.lacking = frozenset() if granted else frozenset({"run.services.create", "iam.serviceAccounts.create"})
    (before,) = [v for v in plan(WISH, place(cloud), again="").data["checks"] if v["check"] == "your permissions"]
    assert (before["end"], before["api"]) == ("unknown", "cloudresourcemanager.googleapis.com")
    assert before["seen"] == "unknown until cloudresourcemanager.googleapis.com is enabled"
    result = deploy(WISH, place(cloud), Ear(), yes=True)
    if granted:
        assert result.exit is Exit.OK
        return
    assert result.exit is Exit.REFUSED
    (problem,) = result.problems
    assert "run.services.create" in problem.what
    assert "iam.serviceAccounts.create" in problem.what
    assert [c.name for c in cloud.writes] == ["apis.enable"]


def test_what_stays_unknown_after_the_apis_refuses_nothing() -> None:
    """Who may not ask what he may is told by the calls themselves."""
    cloud = with_model(FakeCloud())
    cloud.enforce_apis = True

    def refuse(name: str) -> None:
        if name == "policies.test" and any(call.name == "apis.enable" for call in cloud.calls):
            raise refusal(403, "denied")

    cloud.before_call = refuse
    cloud.state.apis |= {"storage.googleapis.com", "iam.googleapis.com", "run.googleapis.com"}
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK


def test_a_smoke_test_that_cannot_be_made_is_told_before() -> None:
    """Who may deploy and not call the service sees how it will end, and that is how it ends: exit 5, the old one serves on."""
    cloud = with_model(FakeCloud())
    cloud.lacking = frozenset({"run.routes.invoke"})
    (check,) = [v for v in plan(WISH, place(cloud), again="").data["checks"] if v["check"] == "smoke test"]
    (found,) = check["findings"]
    assert (check["end"], found["state"], found["permission"]) == ("finding", "advice", "run.routes.invoke")
    assert found["remedy"] == "The deploy ends with exit code 5: the service is made, and stays closed."
    assert "--role=roles/run.servicesInvoker" in found["fix"]["commands"][0]
    ear = Ear()
    closed = Answers(403, {"error": {"code": 403, "message": "The caller may not invoke it"}})
    cloud.lacking = frozenset()
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    cloud.lacking = frozenset({"run.routes.invoke"})
    result = deploy(replace(WISH, timeout=900), place(cloud, closed), ear, yes=True)
    assert (result.exit, any("the smoke test will be refused" in line for line in ear.said)) == (Exit.GATE, True)
    assert any("the new revision gets no requests, and the old one serves on" in line for line in ear.said)


@pytest.mark.parametrize("way", [{"wait": False}, {}])
def test_where_no_smoke_test_asks_for_the_caller_none_is_missed(way: dict[str, bool]) -> None:
    """--async tries nothing; a service that is open already asks nobody."""
    cloud = with_model(FakeCloud())
    wish = replace(WISH, auth="public")
    if not way:
        assert deploy(wish, place(cloud), Ear(), yes=True).exit is Exit.OK
    cloud.lacking = frozenset({"run.routes.invoke"})
    ear = Ear()
    assert deploy(replace(wish, timeout=900), place(cloud), ear, yes=True, way=Way(**way)).exit is Exit.OK
    assert not any("smoke test will" in line for line in ear.said)


def test_logs_that_cannot_be_read_are_told_before_and_stop_nothing() -> None:
    """A build without its lines: said above the plan, and the deploy goes on."""
    cloud = with_model(FakeCloud())
    cloud.lacking = frozenset({"logging.logEntries.list"})
    ear = Ear()
    assert deploy(WISH, place(cloud), ear, yes=True).exit is Exit.OK
    assert any("lacks logging.logEntries.list on project demo-proj" in line for line in ear.said)
    assert any("a failure without the lines that explain it" in line for line in ear.said)
    assert any("--role=roles/logging.viewer" in line for line in ear.said)


def test_policies_that_were_not_asked_stand_behind_the_other_checks(tmp_path: Path) -> None:
    """One word for all of them: eighteen names that begin alike would hide the others."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    cloud.enforce_apis = True
    (unknown,) = (f for f in repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False).data["findings"])
    first, _, policies = unknown["cause"].partition("; ")
    assert first.startswith("Not asked: ")
    assert "billing" in first
    assert policies.startswith("organization policies run.allowedIngress, ")
    assert "org policy" not in unknown["cause"]
