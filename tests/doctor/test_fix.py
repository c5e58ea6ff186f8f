"""--fix: what it applies, what it refuses, and that it asks again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl.doctor.finding import Finding
from gemmactl.doctor.fix import carry_out, propose, why_not
from gemmactl.doctor.granting import grant_finding, missing_permission
from gemmactl.doctor.live import examine
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.apply import Patience
from gemmactl.kernel.resource import Clock
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from tests.doctor.small_cloud import CALLER, Policies, SmallCloud
from tests.doctor.test_live import GRANT, HERE, MAY_BIND, RUNTIME

MAY_GRANT = {"resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"}
MEMBERS = frozenset({CALLER, RUNTIME})
PROJECT = PolicyTarget("project", "my-proj")


class Ticks:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.time += seconds


def test_a_missing_binding_is_granted_and_nothing_else() -> None:
    """One write, the binding afterwards in the policy, one undo line; the checks are then silent."""
    cloud = SmallCloud(policies=Policies(held=set(MAY_BIND)))
    proposal = propose(cloud, examine(cloud, [GRANT], context=HERE), MEMBERS)  # type: ignore[arg-type]  # a part of a Cloud
    assert [s.resource for s in proposal.plan.work] == [GRANT]
    fixed = carry_out(proposal, cloud, clock=Ticks().clock())  # type: ignore[arg-type]  # a part of a Cloud
    assert fixed.ok
    assert fixed.holds == (GRANT.address,)
    assert cloud.policies.bindings == {(GRANT.target, GRANT.role, GRANT.member)}
    assert cloud.policies.writes == 1
    assert fixed.undo == (
        f"gcloud storage buckets remove-iam-policy-binding gs://my-models --member={RUNTIME} --role=roles/storage.objectViewer",
    )
    assert examine(cloud, [GRANT], context=HERE) == ()  # type: ignore[arg-type]  # a part of a Cloud


def test_a_grant_to_the_caller_is_asked_again_until_the_permission_holds() -> None:
    """The policy is written at once, the permission holds three tests later: fix waits that long and says it holds."""
    cloud = SmallCloud(policies=Policies(held=set(MAY_GRANT), lag=3, granted={"roles/run.developer": "run.services.create"}))
    finding = missing_permission("run.services.create", PROJECT, HERE)
    ticks = Ticks()
    fixed = carry_out(propose(cloud, [finding], MEMBERS), cloud, clock=ticks.clock(), patience=Patience(total=600, first=5))  # type: ignore[arg-type]  # a part of a Cloud
    assert fixed.ok
    assert 15 <= ticks.time < 60


def test_a_grant_that_does_not_hold_in_time_is_said_to_wait() -> None:
    """After the patience the grant stays made, but the result is not ok."""
    cloud = SmallCloud(policies=Policies(held=set(MAY_GRANT), lag=10_000, granted={"roles/run.developer": "run.services.create"}))
    finding = missing_permission("run.services.create", PROJECT, HERE)
    ticks = Ticks()
    fixed = carry_out(propose(cloud, [finding], MEMBERS), cloud, clock=ticks.clock(), patience=Patience(total=120))  # type: ignore[arg-type]  # a part of a Cloud
    assert not fixed.ok
    assert len(fixed.waiting) == 1
    assert ticks.time <= 120


def test_an_api_is_enabled() -> None:
    """The other kind of remedy: the missing API, checked afterwards; the way back names it alone, and when not to go it."""
    cloud = SmallCloud()
    cloud.apis.on = {"run.googleapis.com"}
    cloud.policies.held = {"serviceusage.services.enable"}
    found = examine(cloud, [Apis(("run.googleapis.com", "cloudbuild.googleapis.com"))], context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    fixed = carry_out(propose(cloud, found, MEMBERS), cloud, clock=Ticks().clock())  # type: ignore[arg-type]  # a part of a Cloud
    assert cloud.apis.on == {"run.googleapis.com", "cloudbuild.googleapis.com"}
    back = "gcloud services disable cloudbuild.googleapis.com --project=my-proj"
    assert fixed.undo == (f"{back}  # only if nothing else uses it",)


@pytest.mark.parametrize(
    ("remedy", "word"),
    [
        (IamMember(PROJECT, "roles/owner", RUNTIME), "broader"),
        (IamMember(PROJECT, "roles/editor", RUNTIME), "broader"),
        (IamMember(PROJECT, "roles/viewer", RUNTIME), "broader"),
        (IamMember(PROJECT, "projects/my-proj/roles/custom", RUNTIME), "broader"),
        (IamMember(PROJECT, "roles/storage.admin", RUNTIME), "broader"),
        (IamMember(PROJECT, "roles/iam.securityAdmin", RUNTIME), "broader"),
        (IamMember(PROJECT, "roles/run.admin", RUNTIME), "administrator"),
        (IamMember(GRANT.target, "roles/storage.legacyBucketOwner", RUNTIME), "administrator"),
        (IamMember(PROJECT, "roles/resourcemanager.projectIamAdmin", CALLER), "administrator"),
        (IamMember(PROJECT, "roles/serviceusage.serviceUsageAdmin", CALLER), "administrator"),
        (IamMember(GRANT.target, GRANT.role, "allUsers"), "no single account"),
        (IamMember(GRANT.target, GRANT.role, "allAuthenticatedUsers"), "no single account"),
        (IamMember(GRANT.target, GRANT.role, "domain:example.com"), "no single account"),
        (IamMember(GRANT.target, GRANT.role, "$CALLER"), "no single account"),
        (IamMember(GRANT.target, GRANT.role, "user:attacker@evil.example"), "none of the accounts"),
    ],
)
def test_what_is_refused(remedy: IamMember, word: str) -> None:
    """Basic, broad, custom and administrator roles, everybody, nobody known, and strangers are never granted anything."""
    assert word in why_not(remedy, MEMBERS)
    cloud = SmallCloud()
    finding = Finding("x", "iam", "t", "c", "r", remedies=(remedy,), confidence=1.0)
    proposal = propose(cloud, [finding], MEMBERS)  # type: ignore[arg-type]  # a part of a Cloud
    assert not proposal.plan.work
    assert proposal.refused[0][0] == remedy.address
    with pytest.raises(Trouble) as caught:
        carry_out(proposal, cloud)  # type: ignore[arg-type]  # a part of a Cloud
    assert caught.value.exit is Exit.REFUSED
    assert cloud.policies.writes == 0


def test_what_is_uncertain_is_not_proposed() -> None:
    """A finding of low confidence or of state unknown brings nothing into the plan, whatever remedies it carries."""
    cloud = SmallCloud()
    sure = grant_finding(GRANT)
    for finding in (
        Finding("x", "iam", "t", "c", "r", remedies=sure.remedies, confidence=0.5),
        Finding("x", "iam", "t", "c", "r", remedies=sure.remedies, confidence=1.0, state="unknown"),
    ):
        assert not propose(cloud, [finding], MEMBERS).plan.steps  # type: ignore[arg-type]  # a part of a Cloud


def test_two_findings_with_one_remedy_are_one_step() -> None:
    """The same binding from two findings is granted once."""
    cloud = SmallCloud(policies=Policies(held=set(MAY_BIND)))
    proposal = propose(cloud, [grant_finding(GRANT), grant_finding(GRANT)], MEMBERS)  # type: ignore[arg-type]  # a part of a Cloud
    assert len(proposal.plan.steps) == 1


def test_two_findings_with_an_api_each_are_one_step_with_both() -> None:
    """No API of the second finding is lost because both steps have one address."""
    cloud = SmallCloud(policies=Policies(held={"serviceusage.services.enable"}))
    found = [Finding("x", "api_billing", "t", "c", "r", remedies=(Apis((api,)),), confidence=1.0) for api in ("a.x", "b.x")]
    carry_out(propose(cloud, found, MEMBERS), cloud, clock=Ticks().clock())  # type: ignore[arg-type]  # a part of a Cloud
    assert cloud.apis.on == {"a.x", "b.x"}


def test_what_the_caller_may_not_grant_is_no_step_but_a_request() -> None:
    """Asked before anything is written: the finding goes to an administrator, and the missing permission is named."""
    cloud = SmallCloud(policies=Policies(held={"storage.buckets.getIamPolicy"}))
    finding = grant_finding(GRANT)
    proposal = propose(cloud, [finding], MEMBERS)  # type: ignore[arg-type]  # a part of a Cloud
    assert (proposal.plan.work, proposal.admin) == ((), (finding,))
    ((address, why),) = proposal.refused
    assert address == GRANT.address
    assert "storage.buckets.setIamPolicy on bucket my-models" in why
    assert cloud.policies.writes == 0


@pytest.mark.parametrize(
    ("acts", "word", "untested"),
    [(True, "by a test as that account", 0), (False, "not tested: you may not act as", 1)],
)
def test_a_grant_to_another_account_says_how_it_was_seen(acts: bool, word: str, untested: int) -> None:
    """Tested as that account by whoever may act as it, three tests long; else the policy was read again, and that is said."""
    held = set(MAY_BIND) | ({"iam.serviceAccounts.getAccessToken"} if acts else set())
    cloud = SmallCloud(policies=Policies(held=held, others_lag=3))
    finding = replace(grant_finding(GRANT), permission="storage.objects.get")
    ticks = Ticks()
    fixed = carry_out(propose(cloud, [finding], MEMBERS), cloud, clock=ticks.clock())  # type: ignore[arg-type]  # a part of a Cloud
    assert fixed.ok
    assert word in fixed.proof[GRANT.address]
    assert len(fixed.untested) == untested
    assert (ticks.time > 15) is acts


def test_ctrl_c_while_waiting_keeps_the_account() -> None:
    """What was granted is told as waiting, with its undo line: the wait is given up, not the record."""
    cloud = SmallCloud(policies=Policies(held=set(MAY_GRANT), lag=99, granted={"roles/run.developer": "run.services.create"}))

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    proposal = propose(cloud, [missing_permission("run.services.create", PROJECT, HERE)], MEMBERS)  # type: ignore[arg-type]  # a part of a Cloud
    fixed = carry_out(proposal, cloud, clock=Clock(now=lambda: 0.0, sleep=stop))  # type: ignore[arg-type]  # a part of a Cloud
    assert len(fixed.waiting) == len(fixed.undo) == 1
