"""The live checks of what a bucket lets in, and of what is wrong with a secret's value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.doctor.checks.check import Verdict
from gemmactl.doctor.checks.rows import CHECKS
from gemmactl.doctor.checks.run import run
from gemmactl.errors import Exit
from gemmactl.resources.cloud import BucketInfo, PolicyTarget
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.repair import repair
from gemmactl.spec import SecretRef, Token
from tests.doctor.test_checks import WISH, cloud_with, ends, ground
from tests.fakes.cloud import FakeCloud
from tests.fakes.refusal import refusal
from tests.serving.ear import Ear, place, settings, with_model

BUCKET = PolicyTarget("bucket", "weights")
SECRET = "projects/demo-proj/secrets/team"
KEYED = replace(WISH, secrets=(("KEY", SecretRef("team", "1")),))
VIEWER = "roles/storage.objectViewer"


@pytest.mark.parametrize(
    ("uniform", "prevented", "members", "codes"),
    [
        (True, True, set(), []),
        (False, True, set(), ["bucket-acls"]),
        (True, False, {"user:a@example.com"}, []),
        (True, False, {"allAuthenticatedUsers"}, ["bucket-public"]),
        (False, False, {"allUsers"}, ["bucket-acls", "bucket-public"]),
        # with the prevention a binding for everybody lets nobody in
        (True, True, {"allUsers"}, []),
    ],
)
def test_what_a_bucket_lets_in(uniform: bool, prevented: bool, members: set[str], codes: list[str]) -> None:
    """Access lists beside the roles, and everybody as a reader where nothing prevents it: both are told, neither refuses."""
    info = BucketInfo("weights", "us-central1", uniform, prevented)
    cloud = cloud_with(buckets={"weights": info}, policies={BUCKET: {VIEWER: members}})
    found = ends(cloud)
    assert [(f.code, f.state) for v in found.values() for f in v.findings] == [(code, "advice") for code in codes]


def test_a_bucket_whose_members_may_not_be_seen() -> None:
    """Unknown with the right to read its policy; one that is not there is the other check's."""

    def refuse(name: str) -> None:
        if name == "policies.bindings":
            raise refusal(403, "denied", permission="storage.buckets.getIamPolicy")

    cloud = cloud_with(buckets={"weights": BucketInfo("weights", "us-central1", public_access_prevention=False)})
    cloud.before_call = refuse
    verdict = ends(cloud)["bucket access"]
    assert (verdict.end, verdict.permission) == ("unknown", "storage.buckets.getIamPolicy")
    asked = {verdict.check for verdict in run(CHECKS, ground(cloud_with(buckets={})))}
    assert ("bucket" in asked, "bucket access" in asked) == (True, False)


def value(content: bytes, version: str = "1") -> Verdict:
    cloud = cloud_with(secrets={SECRET: {}}, versions={SECRET: [("ENABLED", content)]})
    wish = replace(WISH, secrets=(("KEY", SecretRef("team", version)),))
    return {v.check: v for v in run(CHECKS, replace(ground(cloud, wish), values=True))}["secret values"]


@pytest.mark.parametrize(
    ("content", "code", "state", "says"),
    [
        (b"hf_canary\n", "secret-untrimmed", "advice", "ends with a line break"),
        (b"hf_canary\r\n", "secret-untrimmed", "advice", "ends with a line break"),
        (b" hf_canary", "secret-untrimmed", "advice", "has white space at an end"),
        (b"", "secret-empty", "problem", "is empty"),
        (b"\n", "secret-empty", "problem", "is empty"),
    ],
)
def test_a_value_that_no_client_can_send(content: bytes, code: str, state: str, says: str) -> None:
    """By number or as `latest`; the finding says what is wrong with it, and nothing of it."""
    for version in ("1", "latest"):
        (found,) = value(content, version).findings
        assert (found.code, found.state) == (code, state)
        assert found.title == f"the value of secret team, version {version}, {says}"
        assert "canary" not in str(found.document())


def test_a_value_as_it_should_be() -> None:
    """Line breaks inside it are its own affair."""
    assert value(b"one\ntwo").end == "ok"


def test_a_plan_looks_into_no_secret(tmp_path: Path) -> None:
    """Neither plan nor deploy reads one; doctor does, also in the one that a deploy filled."""
    cloud = with_model(FakeCloud())
    wish = replace(KEYED, hf_token=Token("hf_canary"))
    cloud.secrets.create(SECRET, "us-central1", {})
    cloud.secrets.add_version(SECRET, b"key")
    assert deploy(wish, place(cloud), Ear(), yes=True).exit is Exit.OK
    plan(wish, place(cloud), again="")
    assert not any(call.name in ("secrets.flaw", "secrets.read") for call in cloud.calls)
    fine = repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False)
    assert fine.exit is Exit.OK
    assert {"check": "secret values", "end": "ok"} in fine.data["checked"]
    own = next(name for name in cloud.state.secrets if name != SECRET)
    assert {call.subject for call in cloud.calls if call.name == "secrets.flaw"} == {SECRET, own}
    cloud.state.versions[SECRET] = [("ENABLED", b"key\n")]
    found = repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False).data["findings"]
    assert [(f["code"], f["resource"]) for f in found] == [("secret-untrimmed", SECRET)]


def test_who_may_read_no_secret_is_told_and_not_at_fault(tmp_path: Path) -> None:
    """Nobody needs that right for a deploy: one line says what is not known, and the exit is that of a healthy service."""
    cloud = with_model(FakeCloud())
    cloud.secrets.create(SECRET, "us-central1", {})
    cloud.secrets.add_version(SECRET, b"key")
    assert deploy(KEYED, place(cloud), Ear(), yes=True).exit is Exit.OK

    def refuse(name: str) -> None:
        if name == "secrets.flaw":
            raise refusal(403, "denied", permission="secretmanager.versions.access")

    cloud.before_call = refuse
    blind = repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False)
    assert blind.exit is Exit.OK
    assert [(f["state"], f["permission"]) for f in blind.data["findings"]] == [("advice", "secretmanager.versions.access")]
    assert {"check": "secret values", "end": "unknown"} in blind.data["checked"]
