"""The serving stack on the in-memory cloud: applied, planned again, torn down."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.kernel.apply import apply
from gemmactl.kernel.events import Event
from gemmactl.kernel.plan import Op, make_plan, make_teardown
from gemmactl.resources import names
from gemmactl.resources.cloud import BucketInfo, BuildInfo, PolicyTarget
from gemmactl.resources.service import Service
from gemmactl.spec import SecretRef, Serve, parse_model
from tests.fakes.cloud import Call, FakeCloud, State
from tests.resources.wishes import SPEC, TOKEN, changes, deployed, go, quick, stack, with_token


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud(enforce_apis=True)
    made.state.buckets["weights"] = BucketInfo("weights", "us-central1")
    return made


def test_a_deploy_makes_the_whole_stack(cloud: FakeCloud) -> None:
    """One apply on an empty project ends with a ready service that runs the built image by digest."""
    deployed(cloud)
    body = cloud.state.services["projects/demo-proj/locations/us-central1/services/gemma-3-4b"]
    assert body["template"]["containers"][0]["image"].startswith("us-central1-docker.pkg.dev/demo-proj/gemmactl/serve@sha256:")
    assert body["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert body["labels"] == {"gemmactl-name": "gemma-3-4b", "managed-by": "gemmactl"}


@pytest.mark.parametrize("spec", [SPEC, with_token(), replace(SPEC, auth="public", cpu_throttling=False)])
def test_a_second_plan_is_empty_and_reads_only(cloud: FakeCloud, spec: Serve) -> None:
    """After an apply nothing differs, server defaults included, and planning makes no write."""
    deployed(cloud, spec)
    cloud.calls.clear()
    assert changes(make_plan(stack(spec), cloud)) == {}
    assert cloud.writes == []


def test_apply_twice_writes_once(cloud: FakeCloud) -> None:
    """A second apply makes no write call."""
    deployed(cloud)
    cloud.calls.clear()
    deployed(cloud)
    assert cloud.writes == []


def test_destroy_leaves_nothing_of_ours(cloud: FakeCloud) -> None:
    """After destroy only enabled APIs and what was there before remain."""
    spec = with_token()
    deployed(cloud, spec)
    plan = make_teardown(stack(spec), cloud)
    assert {s.address for s in plan.steps if s.op is Op.RETAIN} == {"apis"}
    assert go(plan, cloud).ok
    left = cloud.state
    assert set(left.buckets) == {"weights"}
    assert [left.accounts, left.repositories, left.images, left.secrets, left.services] == [{}] * 5
    assert not [m for roles in left.policies.values() for members in roles.values() for m in members]


def test_destroy_from_what_the_service_says_removes_the_token_secret(cloud: FakeCloud) -> None:
    """A wish read back from a live service, where the token is a reference to our own secret, still owns that secret."""
    deployed(cloud, with_token())
    recalled = replace(SPEC, hf_token=SecretRef(names.token_secret(SPEC.name, SPEC.region), "1"))
    assert changes(make_plan(stack(recalled), cloud)) == {}
    assert go(make_teardown(stack(recalled), cloud), cloud).ok
    assert not cloud.state.secrets


def test_bindings_and_accounts_of_others_stay(cloud: FakeCloud) -> None:
    """With an account of the user's own, destroy leaves the account and its binding alone."""
    email = "mine@demo-proj.iam.gserviceaccount.com"
    cloud.state.apis.add("iam.googleapis.com")
    cloud.accounts.create("mine", "", "made by hand")
    spec = replace(SPEC, service_account=email)
    deployed(cloud, spec)
    plan = make_teardown(stack(spec), cloud)
    assert go(plan, cloud).ok
    assert email in cloud.state.accounts
    held = cloud.state.policies[PolicyTarget("bucket", "weights")]["roles/storage.objectViewer"]
    assert held == {f"serviceAccount:{email}"}


def test_a_directory_is_uploaded_and_stays(cloud: FakeCloud, tmp_path: Path) -> None:
    """A DIR becomes files in the models bucket; a changed directory is a new folder and a new revision; destroy keeps it."""
    model = tmp_path / "tuned"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    spec = replace(SPEC, model=parse_model(str(model)))
    deployed(cloud, spec)
    assert changes(make_plan(stack(spec), cloud)) == {}
    (model / "model.safetensors").write_bytes(b"other weights")
    later = changes(make_plan(stack(spec), cloud))
    assert later.pop("service us-central1/gemma-3-4b") == ("GEMMACTL_MODEL",)
    (address,) = later
    assert address.startswith("model files gs://demo-proj-gemmactl-models-us-central1/tuned-")
    plan = make_teardown(stack(spec), cloud)
    assert "bucket demo-proj-gemmactl-models-us-central1" in {s.address for s in plan.steps if s.op is Op.RETAIN}


def test_a_given_image_needs_no_build(cloud: FakeCloud) -> None:
    """With --image nothing is built and no build account, repository or bucket is made."""
    spec = replace(SPEC, image="us-docker.pkg.dev/some/where/vllm:1")
    kinds = {r.kind for r in stack(spec)}
    assert kinds == {"apis", "service_account", "iam_member", "service"}
    deployed(cloud, spec)
    assert changes(make_plan(stack(spec), cloud)) == {}


def test_a_secret_of_somebody_else_gets_only_the_accessor(cloud: FakeCloud) -> None:
    """A reference makes no secret: one grant on it, and the variable refers to it as the user said."""
    cloud.state.secrets["projects/demo-proj/secrets/HF_TOKEN"] = {}
    spec = replace(SPEC, hf_token=SecretRef("HF_TOKEN", "latest"), secrets=(("KEY", SecretRef("projects/other/secrets/K", "2")),))
    cloud.state.secrets["projects/other/secrets/K"] = {}
    made = stack(spec)
    assert "secret" not in {r.kind for r in made}
    service = next(r for r in made if isinstance(r, Service))
    env = {e["name"]: e for e in service.body()["template"]["containers"][0]["env"]}
    assert env["HF_TOKEN"]["valueSource"]["secretKeyRef"] == {"secret": "HF_TOKEN", "version": "latest"}
    assert env["KEY"]["valueSource"]["secretKeyRef"] == {"secret": "projects/other/secrets/K", "version": "2"}
    deployed(cloud, spec)


def test_rotation_makes_a_version_and_a_revision_once(cloud: FakeCloud) -> None:
    """--rotate-hf-token adds a version and moves the service to it; without the flag a changed token is not noticed."""
    deployed(cloud, with_token())
    assert changes(make_plan(stack(with_token()), cloud)) == {}
    rotated = changes(make_plan(stack(with_token(rotate_hf_token=True)), cloud))
    assert rotated == {"secret gemma-3-4b-hf-token-us-central1": ("rotate",), "service us-central1/gemma-3-4b": ("HF_TOKEN",)}
    deployed(cloud, with_token(rotate_hf_token=True))
    body = cloud.state.services["projects/demo-proj/locations/us-central1/services/gemma-3-4b"]
    env = {e["name"]: e for e in body["template"]["containers"][0]["env"]}
    assert env["HF_TOKEN"]["valueSource"]["secretKeyRef"]["version"] == "2"
    assert changes(make_plan(stack(with_token()), cloud)) == {}


def test_the_token_is_nowhere_but_in_the_secret(cloud: FakeCloud) -> None:
    """Neither plan, events, service body nor resources' texts hold the token's value."""
    seen: list[Event] = []
    plan = make_plan(stack(with_token()), cloud)
    apply(plan, cloud, events=seen.append, clock=quick())
    told = repr(plan) + repr(seen) + repr(stack(with_token())) + json.dumps(cloud.state.services) + repr(cloud.calls)
    assert TOKEN not in told
    assert [v for versions in cloud.state.versions.values() for v in versions] == [("ENABLED", TOKEN.encode())]


class Killed(BaseException):
    """The process dies here."""


def _calls_of_a_deploy() -> int:
    cloud = _fresh()
    deployed(cloud, with_token())
    return len(cloud.calls)


def _fresh() -> FakeCloud:
    cloud = FakeCloud(enforce_apis=True)
    cloud.state.buckets["weights"] = BucketInfo("weights", "us-central1")
    cloud.build = BuildInfo("", "QUEUED")
    return cloud


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_deploy_killed_at_any_call_resumes(side: str) -> None:
    """Whichever call is the last one of a killed deploy, the same deploy again ends with the same project."""
    reference = _fresh()
    deployed(reference, with_token())
    for at in range(_calls_of_a_deploy()):
        cloud = _fresh()
        left = [at]

        def hook(_name: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        setattr(cloud, f"{side}_call", hook)
        with contextlib.suppress(Killed):
            go(make_plan(stack(with_token()), cloud), cloud)
        cloud.before_call = cloud.after_call = lambda _name: None
        deployed(cloud, with_token())
        assert changes(make_plan(stack(with_token()), cloud)) == {}, at
        assert _shape(cloud.state) == _shape(reference.state), at


def _shape(state: State) -> object:
    """What must be equal whatever happened on the way."""
    return (
        state.apis, state.accounts, state.policies, state.repositories, state.images, state.buckets, state.secrets,
        sorted(n for _, n in state.objects), {k: v["template"]["containers"] for k, v in state.services.items()},
        {k: len(v) for k, v in state.versions.items()}, len(state.builds),
    )  # fmt: skip


def test_names_are_legal_for_the_longest_input() -> None:
    """Account ids have 6-30 characters and buckets at most 63, whatever project, region and service are called."""
    account = names.runtime_account("p" * 30, "northamerica-northeast1", "a" * 49)
    assert 6 <= len(account) <= 30
    assert len(names.bucket("p" * 30, "models", "northamerica-northeast1")) <= 63
    assert names.runtime_account("p", "r", "a") != names.runtime_account("p", "r2", "a")


def test_calls_are_told_apart(cloud: FakeCloud) -> None:
    """The fake's record says which calls may change something."""
    deployed(cloud)
    assert Call("apis.enable", "", write=True) in cloud.calls
    assert not any(c.write for c in cloud.calls if c.name.endswith((".get", ".list", ".stat", ".members", ".enabled")))
