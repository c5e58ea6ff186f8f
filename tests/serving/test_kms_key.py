"""--kms-key on the in-memory cloud: what is encrypted with it, who may use it, what can't change in place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl import spec_rules
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import Op, make_plan
from gemmactl.resources.agent_grant import AGENTS, ROLE
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.for_admin import for_admin
from gemmactl.serving.recall import recalled
from gemmactl.spec import Serve, Token, parse_model
from gemmactl.stack import serving
from tests.fakes.cloud import FakeCloud
from tests.fakes.gcloud import replay
from tests.serving.ear import Ear, place, settings, with_model

KEY = "projects/keys-proj/locations/us-central1/keyRings/ring/cryptoKeys/models"
OTHER = KEY.replace("models", "other")
PLAIN = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", hf_token=Token("hf_x"))
WISH = replace(PLAIN, kms_key=KEY)
SERVICE = "projects/demo-proj/locations/us-central1/services/gemma"
REPOSITORY = "projects/demo-proj/locations/us-central1/repositories/gemmactl"


def test_all_that_is_made_is_encrypted_with_it(tmp_path: Path) -> None:
    """Repository, bucket, secret and revision; agents may use the key before; the plan after is empty; grants stay."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    assert cloud.state.repositories[REPOSITORY].kms_key == KEY
    assert cloud.state.buckets["demo-proj-gemmactl-build-us-central1"].kms_key == KEY
    assert cloud.state.secret_keys["projects/demo-proj/secrets/gemma-hf-token-us-central1"] == KEY
    assert cloud.state.services[SERVICE]["template"]["encryptionKey"] == KEY
    members = cloud.state.policies[PolicyTarget("key", KEY)][ROLE]
    assert members == {f"serviceAccount:service-123456789012@{domain}.gserviceaccount.com" for domain in AGENTS.values()}
    order = [c.name for c in cloud.writes]
    for kind in ("repositories.create", "storage.create_bucket", "secrets.create", "run.create"):
        assert order.index("apis.agent") < order.index(kind)
    assert plan(WISH, place(cloud), again="", detailed=True).exit is Exit.OK
    assert recalled(place(cloud), "gemma", cloud.state.services[SERVICE]).kms_key == KEY
    destroy(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True)
    assert cloud.state.policies[PolicyTarget("key", KEY)][ROLE] == members
    assert SERVICE not in cloud.state.services


def test_without_the_flag_a_key_stays() -> None:
    """No opinion: a deploy that names no key changes none."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    assert plan(PLAIN, place(cloud), again="", detailed=True).exit is Exit.OK


def test_what_keeps_its_key_for_life_blocks() -> None:
    """Repository and secret are BLOCKED with the way out; bucket and revision change in place."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    stack = serving(replace(WISH, kms_key=OTHER, project_number="123456789012"))
    ops = {
        s.resource.kind: s
        for s in make_plan(stack, cloud).steps
        if s.resource.kind in ("repository", "bucket", "secret", "service")
    }
    assert {k: s.op for k, s in ops.items()} == {
        "repository": Op.BLOCKED, "secret": Op.BLOCKED, "bucket": Op.UPDATE, "service": Op.UPDATE,
    }  # fmt: skip
    assert "keeps its key for life" in ops["repository"].note
    assert ops["repository"].note.endswith(
        "gcloud artifacts repositories delete gemmactl --location=us-central1 --project=demo-proj"
    )
    remove = f"gcloud secrets delete {ops['secret'].address.removeprefix('secret ')} --project=demo-proj"
    assert ops["secret"].note.endswith(f"give the token again: {remove}")


def test_the_administrators_half_has_the_key(tmp_path: Path) -> None:
    """Run as printed, agents are made and may use the key, and all that he makes is encrypted with it."""
    cloud = with_model(FakeCloud())
    cloud.held = frozenset()
    half = for_admin(WISH, place(cloud), Ear(), form="gcloud", again="x").data
    hcl = for_admin(WISH, place(cloud), Ear(), form="terraform", again="x").data["script"]
    assert hcl.count(KEY) == 7  # repository, bucket, secret, four agents
    assert hcl.count("{") == hcl.count("}")
    names = [line for line in hcl.splitlines() if line.startswith(("resource ", "data "))]
    assert len(set(names)) == len(names)
    assert sum("google_project_service_identity" in name or "project_service_account" in name for name in names) == len(AGENTS)
    waits = {line.split()[1].strip('"') for line in hcl.splitlines() if line.startswith('resource "google_kms')}
    blocks = {block.split('"')[1]: block for block in hcl.split("\nresource ")[1:]}
    for kind in ("google_artifact_registry_repository", "google_storage_bucket", "google_secret_manager_secret"):
        assert any(f"{name}." in blocks[kind].partition("depends_on")[2] for name in waits), kind
    replay(half["script"], tmp_path, cloud)
    stack = serving(replace(WISH, project_number="123456789012"))
    assert {s.resource.kind for s in make_plan(stack, cloud).work} == {"image", "secret", "service"}


@pytest.mark.parametrize("key", ["models", KEY + "/cryptoKeyVersions/1", KEY.replace("us-central1", "europe-west4"), KEY + ";x"])
def test_a_key_that_can_not_be(key: str) -> None:
    """The full name, in the region of the service: a key encrypts in its own location alone."""
    with pytest.raises(Trouble) as caught:
        spec_rules.check(replace(PLAIN, kms_key=key))
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "kms-key-illegal")
