"""The preflight of plan and deploy: all that would fail at once, before anything; what could not be seen, seen again."""

from __future__ import annotations

from dataclasses import replace

from gemmactl.errors import Exit
from gemmactl.resources.surroundings import OrgPolicy
from gemmactl.result import Table
from gemmactl.serving.deploy import deploy, plan
from gemmactl.spec import SecretRef, Serve, parse_model
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place, with_model

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


def test_nothing_is_asked_of_rights_when_nothing_is_due() -> None:
    """A deploy that changes nothing asks for no permission, and reads each thing once."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    cloud.calls.clear()
    cloud.held = frozenset()
    assert plan(WISH, place(cloud), again="").exit is Exit.OK
    assert not any(c.name == "policies.test" for c in cloud.calls)


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
    assert "17 checks until these APIs are enabled: cloudbilling, cloudquotas, orgpolicy, run (plan --explain" in line
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
