"""doctor --fix as a user sees it: settings, what is not the caller's to do, what is left alone, and the way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl import stack
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.result import Result
from gemmactl.serving.deploy import deploy
from gemmactl.serving.repair import repair
from gemmactl.spec import Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", hf_token=Token("hf_canary"))
SMALL = replace(WISH, cpu=4, memory="16Gi", given=frozenset({"cpu", "memory"}))
LARGE = replace(WISH, given=frozenset({"cpu", "memory"}))
GRANT = next(r for r in stack.serving(WISH) if isinstance(r, IamMember) and r.target.kind == "bucket" and "build" not in r.member)
OTHER = next(r for r in stack.serving(WISH) if isinstance(r, IamMember) and r.target.kind == "secret")
OOM = "Memory limit of 16384 MiB exceeded with 17000 MiB used. Consider increasing the memory limit"


def made(wish: Serve, rollout: str = "") -> FakeCloud:
    cloud = with_model(FakeCloud())
    cloud.rollout = rollout
    assert (deploy(wish, place(cloud), Ear(), yes=True).exit is Exit.OK) is (not rollout)
    cloud.rollout = ""
    return cloud


def fix(cloud: FakeCloud, folder: Path, ear: Ear | None = None, **how: bool) -> Result:
    return repair(place(cloud), settings(folder), "gemma", ear or Ear(), **{"fix": True, "yes": True, **how})


def box(cloud: FakeCloud) -> dict[str, str]:
    (service,) = cloud.state.services.values()
    limits: dict[str, str] = service["template"]["containers"][0]["resources"]["limits"]
    return {name: limits[name] for name in ("cpu", "memory")}


def test_too_little_memory_is_raised_and_looked_at_again(tmp_path: Path) -> None:
    """Planned, deployed, looked at again; one line takes it back, and the file that says otherwise is named."""
    cloud = made(SMALL, OOM)
    (tmp_path / "gemmactl.yaml").write_text("memory: 16Gi\n", encoding="utf-8")
    ear = Ear()
    done = fix(cloud, tmp_path, ear)
    assert (done.exit, box(cloud)) == (Exit.OK, {"cpu": "8", "memory": "32Gi"})
    assert "host-memory" in done.data["holds"]
    assert done.data["undo"] == [
        "gcloud run services update gemma --cpu=4 --memory=16Gi --region=us-central1 --project=demo-proj"
    ]
    assert any("setting of service gemma: --memory 16Gi -> 32Gi" in said for said in ear.said)
    assert any("gemmactl.yaml says --memory 16Gi" in getattr(block, "text", "") for block in done.blocks)
    assert repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False).data["findings"] == []


def test_a_setting_that_was_not_confirmed_changes_nothing(tmp_path: Path) -> None:
    """The deploy shows its plan and asks."""
    cloud = made(SMALL, OOM)
    before = len(cloud.writes)
    with pytest.raises(Trouble, match="nothing was changed"):
        fix(cloud, tmp_path, Ear(yes=False), yes=False)
    assert len(cloud.writes) == before
    assert box(cloud) == {"cpu": "4", "memory": "16Gi"}


def test_what_has_no_value_says_why(tmp_path: Path) -> None:
    """The largest memory that there is: exit 4, nothing written, the reason told."""
    cloud = made(LARGE, OOM.replace("16384", "32768"))
    before = len(cloud.writes)
    done = fix(cloud, tmp_path)
    assert (done.exit, len(cloud.writes)) == (Exit.REFUSED, before)
    (left,) = (entry for entry in done.data["not_by_doctor"] if entry["what"].startswith("host-memory"))
    assert "32Gi is the most" in left["why"]


def test_what_is_not_the_callers_to_grant_is_a_text_for_an_administrator(tmp_path: Path) -> None:
    """Tested before the first write; the ticket names role, member and command."""
    cloud = made(WISH)
    cloud.state.policies[GRANT.target][GRANT.role].discard(GRANT.member)
    cloud.lacking = frozenset({"storage.buckets.setIamPolicy"})
    before = len(cloud.writes)
    done = fix(cloud, tmp_path)
    assert (done.exit, done.problems[0].code, len(cloud.writes)) == (Exit.REFUSED, "not-yours-to-fix", before)
    text = str(done.data["for_admin"])
    assert any(getattr(block, "text", "") == text for block in done.blocks)
    assert f"Grant: {GRANT.role} to {GRANT.member}" in text
    assert "gcloud storage buckets add-iam-policy-binding gs://weights" in text
    assert "Why no broader: " in text


def test_a_part_that_is_an_administrators_is_no_whole_repair(tmp_path: Path) -> None:
    """What the caller may do is done, the rest is asked for: exit 6, and --retry waits for it."""
    cloud = made(WISH)
    cloud.state.policies[GRANT.target][GRANT.role].discard(GRANT.member)
    cloud.state.policies[OTHER.target][OTHER.role].discard(OTHER.member)
    cloud.lacking = frozenset({"storage.buckets.setIamPolicy"})
    done = fix(cloud, tmp_path, retry=True)
    assert (done.verb, done.exit, done.data["done"]) == ("doctor", Exit.FOUND, [OTHER.address])
    assert GRANT.member in str(done.data["for_admin"])


def test_what_was_fine_is_on_the_screen_of_a_repair(tmp_path: Path) -> None:
    """Silence about a check is no answer, with --fix neither; nor is it silent how a grant was seen to hold."""
    cloud = made(WISH)
    cloud.state.policies[GRANT.target][GRANT.role].discard(GRANT.member)
    ear = Ear()
    done = fix(cloud, tmp_path, ear)
    assert done.exit is Exit.OK
    assert any(said.startswith("looked at and fine: ") for said in ear.said)
    assert "you may not act as" in done.data["proof"][GRANT.address]
    assert "1 read again in the policy and not tested" in getattr(done.blocks[0], "text", "")


def test_whoever_may_act_as_the_account_tests_its_permission(tmp_path: Path) -> None:
    """The bucket is asked as the runtime account itself."""
    cloud = made(WISH)
    cloud.state.policies[GRANT.target][GRANT.role].discard(GRANT.member)
    account = PolicyTarget("service_account", GRANT.member.partition(":")[2])
    cloud.state.policies.setdefault(account, {})["roles/iam.serviceAccountTokenCreator"] = {cloud.caller()}
    assert "by a test as that account" in fix(cloud, tmp_path).data["proof"][GRANT.address]


def test_what_was_taken_from_the_service_is_deployed_again(tmp_path: Path) -> None:
    """A field that somebody changed by hand is no grant: the deploy of what is wished corrects it."""
    cloud = made(WISH)
    (service,) = cloud.state.services.values()
    service["template"]["gpuZonalRedundancyDisabled"] = False
    done = fix(cloud, tmp_path)
    (service,) = cloud.state.services.values()
    assert (done.exit, done.data["holds"]) == (Exit.OK, ["differs-service"])
    assert service["template"]["gpuZonalRedundancyDisabled"] is True


def test_a_retry_that_fails_keeps_the_way_back(tmp_path: Path) -> None:
    """The repair's undo lines are in the document of the deploy that was refused after it."""
    cloud = made(WISH)
    cloud.state.policies[GRANT.target][GRANT.role].discard(GRANT.member)
    (service,) = cloud.state.services.values()
    service["labels"].pop("managed-by", None)  # a stranger's service is not deployed over
    done = fix(cloud, tmp_path, retry=True)
    assert done.exit is not Exit.OK
    assert done.problems[0].code == "service-not-ours"
    assert len(done.data["doctor"]["undo"]) == 1


def test_a_retry_keeps_every_argument_and_stores_no_secret(tmp_path: Path) -> None:
    """What failed is deployed as the service shows it: settings, variables, and the token by reference alone."""
    wish = replace(
        WISH,
        timeout=900,
        concurrency=2,
        max_instances=2,
        env=(("TEAM", "red"),),
        given=frozenset({"concurrency", "max_instances"}),
    )
    cloud = made(wish)
    (body,) = cloud.state.services.values()
    before = body["template"]
    versions = {name: list(values) for name, values in cloud.state.versions.items()}
    cloud.state.policies[GRANT.target][GRANT.role].discard(GRANT.member)
    done = fix(cloud, tmp_path, retry=True)
    (body,) = cloud.state.services.values()
    assert (done.verb, done.exit) == ("deploy", Exit.OK)
    assert body["template"] == before
    assert cloud.state.versions == versions
    assert "hf_canary" not in str(done.document()) + "".join(map(str, done.blocks))


def test_a_role_on_what_is_not_there_is_no_remedy(tmp_path: Path) -> None:
    """Cloud Run refuses a missing secret like a forbidden one: --fix looks, says that it is missing, and writes nothing."""
    cloud = made(WISH)
    (service,) = cloud.state.services.values()
    account = service["template"]["serviceAccount"]
    said = f"Permission denied on secret: projects/demo-proj/secrets/gone/versions/1 for Revision service account {account}."
    service["terminalCondition"] = {"type": "Ready", "state": "CONDITION_FAILED", "message": said}
    before = len(cloud.writes)
    done = fix(cloud, tmp_path)
    assert (done.exit, len(cloud.writes)) == (Exit.REFUSED, before)
    assert "missing-secret" in [finding["code"] for finding in done.data["findings"]]
