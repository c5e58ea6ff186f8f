"""plan --for-admin --as terraform, read by an HCL parser: it makes what the gcloud script makes, in an order that works."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.kernel.plan import make_plan
from gemmactl.serving import admin_gcloud, admin_half, admin_terraform
from gemmactl.serving.admin_half import CALLER
from gemmactl.serving.for_admin import for_admin
from gemmactl.spec import Serve
from gemmactl.stack import serving
from tests.fakes.cloud import FakeCloud
from tests.fakes.gcloud import replay
from tests.fakes.terraform import apply, blocks
from tests.resources.test_stack_tune import fresh as tune_cloud
from tests.resources.test_stack_tune import wanted as tune_stack
from tests.resources.test_stack_tune import with_token
from tests.serving.ear import Ear, place, with_model
from tests.serving.test_for_admin import AGAIN, DEVELOPER, WISH
from tests.serving.test_kms_key import WISH as SEALED

STRANGE = ("user:o'brien@example.com", 'user:${file(1)}%{ if x }"\\@example.com', "principal://iam/pools/p/subject/auth0|7")


def both(wish: Serve, held: frozenset[str], folder: Path) -> tuple[FakeCloud, FakeCloud, str]:
    """Two projects, one after each form of the same half; and the module."""
    by_script, by_module = with_model(FakeCloud()), with_model(FakeCloud())
    by_script.held = by_module.held = held
    replay(for_admin(wish, place(by_script), Ear(), form="gcloud", again=AGAIN).data["script"], folder, by_script)
    text = for_admin(wish, place(by_module), Ear(), form="terraform", again=AGAIN).data["script"]
    by_module.enforce_apis = True
    if wish.kms_key:
        by_module.state.apis.add("cloudkms.googleapis.com")  # the key's own project has it
        by_script.state.apis.add("cloudkms.googleapis.com")
    apply(text, by_module)
    return by_script, by_module, text


@pytest.mark.parametrize("held", [frozenset[str](), DEVELOPER], ids=["nobody", "developer"])
@pytest.mark.parametrize("wish", [WISH, replace(WISH, hf_token=None), SEALED], ids=["token", "plain", "kms-key"])
def test_the_module_makes_what_the_script_makes(wish: Serve, held: frozenset[str], tmp_path: Path) -> None:
    """APIs, accounts, repository, bucket, secret and every binding are equal, field by field, and in no call too early."""
    by_script, by_module, text = both(wish, held, tmp_path)
    assert by_module.state == by_script.state
    assert "hf_canary" not in text
    assert by_module.state.accounts
    assert by_module.state.policies


def test_a_fine_tunes_half_is_the_same_too(tmp_path: Path) -> None:
    """The job's accounts, buckets and bindings come out equal from both forms."""
    clouds = []
    for form in ("gcloud", "terraform"):
        cloud = tune_cloud()
        cloud.state.apis |= {"cloudresourcemanager.googleapis.com", "storage.googleapis.com"}
        cloud.held = frozenset()
        half = admin_half.split(make_plan(tune_stack(with_token()), cloud), cloud, with_token())
        if form == "gcloud":
            replay(admin_gcloud.script(half, "demo-proj", AGAIN), tmp_path, cloud)
        else:
            before = copy.deepcopy(cloud.state)
            apply(admin_terraform.module(half, "demo-proj", AGAIN), cloud)
            assert cloud.state != before
        clouds.append(cloud)
    assert clouds[0].state == clouds[1].state


@pytest.mark.parametrize("member", STRANGE)
def test_a_strange_member_is_one_text(member: str) -> None:
    """Whatever stands in it, the parser gives back the very same word: no template, no end of the text."""
    cloud = with_model(FakeCloud())
    cloud.held = frozenset()
    half = admin_half.split(make_plan(serving(WISH), cloud), cloud, WISH)
    module = admin_terraform.module(replace(half, caller=member), "demo-proj", AGAIN)
    callers = {b["member"] for a, b in blocks(module).items() if "_iam_member.caller-" in a}
    assert callers == {member}
    assert CALLER not in {b.get("member") for b in blocks(module).values()}


def test_lines_of_the_callers_command_are_no_blocks() -> None:
    """A command of several lines adds no resource to the module."""
    cloud = with_model(FakeCloud())
    cloud.held = DEVELOPER
    evil = 'gemmactl deploy --set-env-vars \'A=1\nresource "google_project_iam_member" "x" {\n  role = "roles/owner"\n}\n\''
    honest, dressed = (
        for_admin(WISH, place(cloud), Ear(), form="terraform", again=again).data["script"] for again in (AGAIN, evil)
    )
    assert blocks(dressed) == blocks(honest)
