"""finetune run where accounts, bindings and keys are another hand's, and the script for that hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.sandbox import roles
from gemmactl.tune.data_source import Places
from gemmactl.tune.for_admin import for_admin
from gemmactl.tune.run import Way
from tests.serving.ear import place
from tests.tune.running import CONTEXT, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_accounts_of_another_hand_must_be_there(desk: Desk) -> None:
    """With --no-iam nothing is granted and nothing made; an account that is missing is refused before any change."""
    with pytest.raises(Trouble) as caught:
        desk.run(iam=False, service_account="tuner@demo-proj.iam.gserviceaccount.com")
    trouble = caught.value
    assert (trouble.code, trouble.exit) == ("account-not-given", Exit.REFUSED)
    assert desk.cloud.writes == []
    desk.cloud.state.apis.add("iam.googleapis.com")
    for name in ("tuner", "builder"):
        desk.cloud.accounts.create(name, "", "by hand")
    emails = {
        f"{flag}service_account": f"{name}@demo-proj.iam.gserviceaccount.com"
        for flag, name in (("", "tuner"), ("build_", "builder"))
    }
    assert desk.run(follow=False, iam=False, **emails).exit is Exit.OK
    assert not desk.cloud.state.policies
    assert {account.description for account in desk.cloud.state.accounts.values()} == {"by hand"}


def test_a_key_of_the_customers(desk: Desk) -> None:
    """--kms-key needs the project's number, which is asked for: Cloud Run's agent may use the key before the job is made."""
    key = "projects/demo-proj/locations/us-central1/keyRings/r/cryptoKeys/k"
    assert desk.run(follow=False, kms_key=key).exit is Exit.OK
    (job,) = desk.cloud.state.jobs.values()
    assert job["template"]["template"]["encryptionKey"] == key
    held = next(roles for target, roles in desk.cloud.state.policies.items() if target.kind == "key")
    assert any("serverless-robot-prod" in member for members in held.values() for member in members)
    assert desk.run(follow=False, kms_key=key).data["changes"] == 0


def test_the_administrators_half(desk: Desk) -> None:
    """--for-admin prints what the caller may not do, as a script; nothing is changed, and starting stays the caller's."""
    desk.cloud.held = roles.permissions("roles/run.developer")
    way, here = Way(context=CONTEXT), place(desk.cloud)
    words = "gemmactl finetune run sql.jsonl --project demo-proj"
    found = for_admin(desk.asked(), here, Places(lambda: desk.cloud, desk.folder), desk.ear, way, form="gcloud", again=words)
    assert desk.cloud.writes == []
    assert {s["kind"] for s in found.data["steps"]} == {"apis", "service_account", "repository", "bucket", "iam_member"}
    assert words in found.data["script"]
    assert {"roles/storage.objectCreator", "roles/iam.serviceAccountUser"} <= {g["role"] for g in found.data["grants"]}
    assert "roles/run.developer" not in {g["role"] for g in found.data["grants"]}
