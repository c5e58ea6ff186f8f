"""The stack of a fine-tune on the in-memory cloud: applied, planned again, killed, torn down, beside a service's."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.apply import Patience, apply
from gemmactl.kernel.events import Event
from gemmactl.kernel.plan import Op, Plan, make_plan, make_teardown
from gemmactl.kernel.resource import Resource
from gemmactl.resources import names
from gemmactl.resources.cloud import BucketInfo, BuildInfo, PolicyTarget
from gemmactl.resources.context import BuildContext, stage
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.image import Image
from gemmactl.spec import SecretRef, Token
from gemmactl.stack_tune import TUNE_PACKAGES, tuning
from gemmactl.tune_rules import check
from gemmactl.tune_spec import LARGE, SMALL, Tune, size_for
from tests.fakes.cloud import FakeCloud, State
from tests.resources.test_stack import Killed
from tests.resources.wishes import SPEC as SERVED
from tests.resources.wishes import TOKEN, changes, deployed, go, quick, stack

CONTEXT = BuildContext((("finetune_image/Dockerfile", b"FROM scratch\n"),), "fedcba9876543210" * 4)
BUCKET = names.bucket("demo-proj", "models", "us-central1")
RUN = f"gs://{BUCKET}/gemmactl/runs/sql/0123456789ab"
SPEC = Tune("demo-proj", "us-central1", "sql", BUCKET, RUN, reads=("weights",), usd_per_hour=1.0456)
JOB = "projects/demo-proj/locations/us-central1/jobs/finetune-sql"
MEMBER = f"serviceAccount:{names.tune_account('demo-proj', 'us-central1', 'sql')}@demo-proj.iam.gserviceaccount.com"


def fresh() -> FakeCloud:
    cloud = FakeCloud(enforce_apis=True)
    cloud.state.buckets["weights"] = BucketInfo("weights", "us-central1")
    cloud.build = BuildInfo("", "QUEUED")
    return cloud


@pytest.fixture
def cloud() -> FakeCloud:
    return fresh()


def wanted(spec: Tune = SPEC, **more: Any) -> tuple[Resource, ...]:
    return tuning(spec, context=CONTEXT, **more)


def planned(cloud: FakeCloud, spec: Tune = SPEC) -> Plan:
    return make_plan(wanted(spec), cloud)


def made(cloud: FakeCloud, spec: Tune = SPEC) -> None:
    outcome = go(planned(cloud, spec), cloud)
    assert outcome.ok, outcome.failed


def with_token(**more: Any) -> Tune:
    return replace(SPEC, hf_token=Token(TOKEN), **more)


def test_everything_up_to_the_job(cloud: FakeCloud) -> None:
    """One apply on an empty project ends with a job that runs the built image by digest on one L4, and starts nothing."""
    made(cloud)
    body = cloud.state.jobs[JOB]
    assert body["labels"] == {"gemmactl-name": "sql", "gemmactl-run": "0123456789ab", "managed-by": "gemmactl"}
    execution, task = body["template"], body["template"]["template"]
    assert (execution["parallelism"], execution["taskCount"]) == (1, 1)
    assert (task["maxRetries"], task["timeout"], task["gpuZonalRedundancyDisabled"]) == (3, "3600s", True)
    assert (task["nodeSelector"], task["executionEnvironment"]) == ({"accelerator": "nvidia-l4"}, "EXECUTION_ENVIRONMENT_GEN2")
    (box,) = task["containers"]
    assert box["image"].startswith("us-central1-docker.pkg.dev/demo-proj/gemmactl/finetune@sha256:")
    assert box["resources"]["limits"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert {e["name"]: e["value"] for e in box["env"]} == {
        "GEMMACTL_RUN": RUN,
        "GEMMACTL_TASK_SECONDS": "3600",
        "GEMMACTL_USD_PER_HOUR": "1.0456",
    }
    assert cloud.state.executions == {}


def test_it_may_do_what_the_worker_does_and_no_more(cloud: FakeCloud) -> None:
    """Roles on two buckets and one secret for an account of its own; none on the project."""
    made(cloud, with_token())
    held = {(str(t), role) for t, roles in cloud.state.policies.items() for role, members in roles.items() if MEMBER in members}
    assert held == {
        (f"bucket {BUCKET}", "roles/storage.objectUser"),
        ("bucket weights", "roles/storage.objectViewer"),
        ("secret finetune-sql-hf-token-us-central1", "roles/secretmanager.secretAccessor"),
    }


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        with_token(network="default", subnet="default", vpc_egress="all-traffic"),
        replace(SPEC, reads=(), env=(("GEMMACTL_TORCH_THREADS", "2"),), retries=10, timeout=7200),
        replace(SPEC, image="us-docker.pkg.dev/other/repo/tune@sha256:" + "1" * 64, iam=False),
    ],
    ids=["plain", "token-and-vpc", "numbers", "others-hands"],
)
def test_a_second_plan_is_empty_and_writes_nothing(cloud: FakeCloud, spec: Tune) -> None:
    """After an apply nothing differs, and a second apply makes no write call."""
    made(cloud, spec)
    cloud.calls.clear()
    made(cloud, spec)
    assert changes(planned(cloud, spec)) == {}
    assert cloud.writes == []


def test_another_run_of_the_name_changes_the_job_alone(cloud: FakeCloud) -> None:
    """A new run is a new folder in one variable and one label; everything else stands."""
    made(cloud)
    later = replace(SPEC, run_uri=RUN.replace("0123456789ab", "ffffffffffff"))
    assert changes(planned(cloud, later)) == {"job us-central1/finetune-sql": ("GEMMACTL_RUN", "labels")}


def test_destroy_leaves_the_bucket_with_models_and_nothing_else(cloud: FakeCloud) -> None:
    """Token secret, account, grants, image and job go, also when nobody says any more that there was a token."""
    made(cloud, with_token())
    cloud.storage.write(BUCKET, "gemmactl/models/sql/0123456789ab/model.safetensors", b"weights")
    plan = make_teardown(wanted(replace(SPEC, run_uri=""), teardown=True), cloud)
    assert {s.address for s in plan.steps if s.op is Op.RETAIN} == {"apis", f"bucket {BUCKET}"}
    assert go(plan, cloud).ok
    left = cloud.state
    assert set(left.buckets) == {"weights", BUCKET}
    assert [name for _, name in left.objects] == ["gemmactl/models/sql/0123456789ab/model.safetensors"]
    assert [left.accounts, left.repositories, left.images, left.secrets, left.jobs] == [{}] * 5
    assert not [m for roles in left.policies.values() for members in roles.values() for m in members]


def test_a_bucket_of_the_users_own_gets_a_grant_alone(cloud: FakeCloud) -> None:
    """It is neither made nor marked, and the base that lies in it needs no second role."""
    spec = replace(SPEC, bucket="weights", run_uri="gs://weights/gemmactl/runs/sql/0123456789ab")
    assert not [one for one in wanted(spec) if one.address == "bucket weights"]
    made(cloud, spec)
    assert cloud.state.buckets["weights"].labels == {}
    assert cloud.state.policies[PolicyTarget("bucket", "weights")] == {"roles/storage.objectUser": {MEMBER}}


def test_a_strangers_secret_is_read_and_not_removed(cloud: FakeCloud) -> None:
    """A reference makes one grant; destroy takes the grant back and leaves the secret."""
    cloud.state.secrets["projects/demo-proj/secrets/HF_TOKEN"] = {}
    spec = replace(SPEC, hf_token=SecretRef("HF_TOKEN"))
    made(cloud, spec)
    env = {e["name"]: e for e in cloud.state.jobs[JOB]["template"]["template"]["containers"][0]["env"]}
    assert env["HF_TOKEN"]["valueSource"]["secretKeyRef"] == {"secret": "HF_TOKEN", "version": "latest"}
    assert go(make_teardown(wanted(spec, teardown=True), cloud), cloud).ok
    assert set(cloud.state.secrets) == {"projects/demo-proj/secrets/HF_TOKEN"}


def test_a_service_of_the_same_name_shares_nothing_that_is_its_own(cloud: FakeCloud) -> None:
    """What both stand on has one address; account, secret, image and job or service have two."""
    tune, serve = {r.address: r for r in wanted(with_token())}, {r.address: r for r in stack(teardown=True)}
    both = {r.kind for a, r in tune.items() if a in serve}
    assert both == {"apis", "service_account", "repository", "bucket", "iam_member"}
    assert {a for a in tune if a in serve and tune[a].kind == "service_account"} == {"service account gemmactl-build"}
    members = {r.member for a, r in tune.items() if a in serve and isinstance(r, IamMember)}
    assert members == {"serviceAccount:gemmactl-build@demo-proj.iam.gserviceaccount.com"}
    deployed(cloud)
    made(cloud)
    assert len([tag for tag in cloud.state.images if not tag.endswith(":cache")]) == 2


def test_a_key_encrypts_the_job_too() -> None:
    """With --kms-key the job, its bucket, repository and secret name it, and Cloud Run's agent may use it first."""
    key = "projects/demo-proj/locations/us-central1/keyRings/r/cryptoKeys/k"
    made_of = {one.kind: one for one in wanted(with_token(kms_key=key, project_number="1"))}
    job: Any = made_of["job"]
    assert job.body()["template"]["template"]["encryptionKey"] == key
    assert any("cryptoKey" in need or "key" in need for need in job.needs)


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_any_call_it_resumes(side: str) -> None:
    """Whichever call is the last one of a killed apply, the same again ends with the same project and an empty plan."""
    reference = fresh()
    made(reference, with_token())
    for at in range(len(reference.calls)):
        cloud, left = fresh(), [at]

        def hook(_name: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        setattr(cloud, f"{side}_call", hook)
        with contextlib.suppress(Killed):
            go(planned(cloud, with_token()), cloud)
        cloud.before_call = cloud.after_call = lambda _name: None
        made(cloud, with_token())
        assert changes(planned(cloud, with_token())) == {}, at
        assert shape(cloud.state) == shape(reference.state), at


def shape(state: State) -> object:
    """What must be equal whatever happened on the way."""
    return (
        state.apis, state.accounts, state.policies, state.repositories, state.images, state.buckets, state.secrets,
        {name: body["template"] for name, body in state.jobs.items()},
        {name: len(versions) for name, versions in state.versions.items()}, len(state.builds),
    )  # fmt: skip


def test_the_build_context_has_both_packages() -> None:
    """What is staged holds the Dockerfile and all that it copies."""
    files = {path for path, _ in stage(TUNE_PACKAGES).files}
    assert {"finetune_image/Dockerfile", "finetune_image/requirements.txt", "inference_image/layout.py"} <= files


def test_the_size_goes_by_the_base() -> None:
    """Up to 4B the least that an L4 goes with; above, and where nothing is known, twice that."""
    assert [size_for(n) for n in (1_000_000_000, 4_300_079_472, 12_187_325_040, None)] == [SMALL, SMALL, LARGE, LARGE]
    check(SPEC)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"name": "SQL"}, "name-illegal"),
        ({"name": "a" * 41}, "name-illegal"),
        ({"bucket": "gs://b"}, "bucket-illegal"),
        ({"region": "europe-north1"}, "region-without-gpu"),
        ({"gpu_type": "nvidia-h100"}, "gpu-unknown"),
        ({"cpu": 4, "memory": "32Gi"}, "cpu-memory-pair"),
        ({"timeout": 60}, "out-of-range"),
        ({"timeout": 50_000}, "out-of-range"),
        ({"retries": 11}, "out-of-range"),
        ({"env": (("GEMMACTL_RUN", "x"),)}, "env-reserved"),
        ({"env": (("HF_TOKEN", "hf_x"),)}, "env-reserved"),
        ({"env": (("K_SERVICE", "x"),)}, "env-reserved"),
        ({"service_account": "me"}, "service-account-illegal"),
        ({"kms_key": "projects/p/locations/eu/keyRings/r/cryptoKeys/k"}, "kms-key-illegal"),
        ({"vpc_egress": "all-traffic"}, "network-illegal"),
    ],
)
def test_what_can_not_be_is_said_first(more: dict[str, Any], code: str) -> None:
    """Each rule refuses before any call, with a remedy."""
    with pytest.raises(Trouble) as caught:
        check(replace(SPEC, **more))
    assert caught.value.code == code
    assert caught.value.remedy


def test_torchs_layer_comes_from_whichever_image_has_it() -> None:
    """A first fine-tune after a deploy takes the largest layer from the server's image, and the other way round."""
    for made, own, other in ((wanted(), "finetune", "serve"), (stack(), "serve", "finetune")):
        (image,) = (one for one in made if isinstance(one, Image))
        args = image.body(1)["steps"][0]["args"]
        caches = [args[at + 1].rpartition("/")[2] for at, word in enumerate(args) if word == "--cache-from"]
        assert caches == [f"{own}:cache", f"{other}:cache"]


def test_the_image_fits_the_gpu() -> None:
    """CUDA 12.6 has no code for an RTX PRO 6000: the build gets another torch, and the tag tells the two images apart."""
    large = replace(SPEC, gpu_type="nvidia-rtx-pro-6000", cpu=20, memory="80Gi")
    for spec, ending, said in ((SPEC, "3210", False), (large, "3210-cu130", True)):
        (image,) = (one for one in wanted(spec) if isinstance(one, Image))
        assert image.tag.endswith(ending)
        assert ("CUDA=cu130" in image.body(1)["steps"][0]["args"]) is said
    (served,) = (one for one in stack(replace(SERVED, gpu_type="nvidia-rtx-pro-6000")) if isinstance(one, Image))
    assert served.tag.endswith("-cu130")


def test_the_token_is_nowhere_but_in_the_secret(cloud: FakeCloud) -> None:
    """Neither plan, resources, job, events nor calls hold the token's value; the job names a version of its secret."""
    seen: list[Event] = []
    plan = planned(cloud, with_token())
    assert apply(plan, cloud, events=seen.append, clock=quick(), patience=Patience(total=60.0)).ok
    told = repr(plan) + repr(seen) + repr(wanted(with_token())) + json.dumps(cloud.state.jobs) + repr(cloud.calls)
    assert TOKEN not in told
    assert [v for versions in cloud.state.versions.values() for v in versions] == [("ENABLED", TOKEN.encode())]
    env = {e["name"]: e for e in cloud.state.jobs[JOB]["template"]["template"]["containers"][0]["env"]}
    assert env["HF_TOKEN"]["valueSource"]["secretKeyRef"] == {"secret": "finetune-sql-hf-token-us-central1", "version": "1"}
