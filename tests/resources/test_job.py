"""A Cloud Run job on the in-memory cloud: its body, what an update keeps, what is refused before anything changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import Op, make_plan, make_teardown
from gemmactl.resources import mark
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.job import Job
from gemmactl.resources.service_types import Container, EnvVar, GcsVolume, Mount, Resources, SecretEnv, Vpc
from tests.fakes.cloud import FakeCloud, refusal
from tests.resources.wishes import changes, go

GOLDEN = Path(__file__).parents[1] / "golden" / "29-alpha-run-jobs-replace.json"
CODELAB = Job(
    "demo-proj",
    "us-central1",
    "finetune-job",
    containers=(
        Container(
            "us-central1-docker.pkg.dev/demo-proj/codelab-finetuning-jobs/finetune-to-gcs",
            env=(
                EnvVar("MODEL_NAME", "google/gemma-2b"),
                EnvVar("NEW_MODEL", "gemma-2b-sql-finetuned"),
                EnvVar("LORA_R", "8"),
                EnvVar("LORA_ALPHA", "16"),
                EnvVar("GRADIENT_ACCUMULATION_STEPS", "2"),
                EnvVar("DATASET_LIMIT", "1000"),
                EnvVar("LOGGING_STEPS", "5"),
                EnvVar("BUCKET_NAME", "demo-proj-codelab-finetuning-jobs"),
                SecretEnv("HF_TOKEN", "HF_TOKEN", "latest"),
            ),
            resources=Resources("8.0", "32Gi", "1"),
            mounts=(Mount("finetuned_model", "/finetune/new_model"),),
        ),
    ),
    volumes=(GcsVolume("finetuned_model", "demo-proj-codelab-finetuning-jobs"),),
    parallelism=1,
    task_count=1,
    max_retries=3,
    timeout=3600,
    service_account="finetune-job-sa@demo-proj.iam.gserviceaccount.com",
    gpu_type="nvidia-l4",
    execution_environment="EXECUTION_ENVIRONMENT_GEN2",
    vpc=Vpc("default", "default"),
    launch_stage="ALPHA",
)
OURS = replace(CODELAB, labels=mark.OURS, gpu_zonal_redundancy_disabled=True)


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


def live(cloud: FakeCloud) -> dict:
    return cloud.state.jobs[OURS.full_name]


def test_the_codelabs_job_is_a_value() -> None:
    """What gcloud sent for the codelab's finetune-job.yaml is the body of one Job."""
    assert CODELAB.body() == json.loads(GOLDEN.read_text())


def test_made_once_and_then_as_wished(cloud: FakeCloud) -> None:
    """A dry run comes first; after it the plan is empty, server defaults included, and a second apply writes nothing."""
    assert go(make_plan([OURS], cloud), cloud).ok
    assert [call.name for call in cloud.calls if call.name == "jobs.create"] == ["jobs.create"] * 2
    cloud.calls.clear()
    assert changes(make_plan([OURS], cloud)) == {}
    assert cloud.writes == []


def test_an_update_names_what_differs_and_keeps_what_is_others(cloud: FakeCloud) -> None:
    """A PATCH replaces the whole job, so labels, annotations and fields that the wish doesn't speak of travel with it."""
    assert go(make_plan([OURS], cloud), cloud).ok
    live(cloud)["labels"]["team"] = "nlp"
    live(cloud)["annotations"] = {"of": "somebody"}
    live(cloud)["template"]["template"]["containers"][0]["workingDir"] = "/finetune"
    later = replace(
        OURS, timeout=1800, containers=(replace(OURS.containers[0], env=(EnvVar("MODEL_NAME", "google/gemma-3-1b-it"),)),)
    )
    plan = make_plan([later], cloud)
    named = changes(plan)[OURS.address]
    assert {"timeout", "MODEL_NAME", "NEW_MODEL", "HF_TOKEN"} <= set(named)
    assert go(plan, cloud).ok
    now = live(cloud)
    assert now["labels"] == {"managed-by": "gemmactl", "team": "nlp"}
    assert now["annotations"] == {"of": "somebody"}
    assert now["template"]["template"]["containers"][0]["workingDir"] == "/finetune"
    assert now["template"]["template"]["timeout"] == "1800s"
    assert now["template"]["template"]["containers"][0]["env"] == [{"name": "MODEL_NAME", "value": "google/gemma-3-1b-it"}]
    assert changes(make_plan([later], cloud)) == {}


def test_what_the_server_writes_is_not_sent_back(cloud: FakeCloud) -> None:
    """Nor are the tokens that would start an execution."""
    assert go(make_plan([OURS], cloud), cloud).ok
    twin = OURS.read(cloud)
    assert twin is not None
    assert twin.live is not None
    twin.live["startExecutionToken"] = "once"
    assert set(OURS.patch(twin)) == {"name", "etag", "labels", "launchStage", "template"}


def test_no_retries_is_a_choice(cloud: FakeCloud) -> None:
    """0 is sent, because a job that leaves it out gets 3; and read back as 0."""
    once = replace(OURS, max_retries=0)
    assert once.body()["template"]["template"]["maxRetries"] == 0
    assert go(make_plan([OURS], cloud), cloud).ok
    assert changes(make_plan([once], cloud)) == {OURS.address: ("max_retries",)}
    assert go(make_plan([once], cloud), cloud).ok
    assert changes(make_plan([once], cloud)) == {}


def test_a_writer_in_between_is_no_loss(cloud: FakeCloud) -> None:
    """Under another etag the job is read again and the wish laid over what is there now."""
    assert go(make_plan([OURS], cloud), cloud).ok
    plan = make_plan([replace(OURS, timeout=900)], cloud)
    live(cloud)["etag"] = '"another"'
    live(cloud)["labels"]["team"] = "nlp"
    assert go(plan, cloud).ok
    assert (live(cloud)["template"]["template"]["timeout"], live(cloud)["labels"]["team"]) == ("900s", "nlp")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (replace(OURS, max_retries=11), "max retries 11"),
        (replace(OURS, task_count=0), "task count 0"),
        (replace(OURS, gpu_type="nvidia-h100"), "nvidia-h100"),
        (replace(OURS, gpu_zonal_redundancy_disabled=False), "zonal redundancy"),
        (replace(OURS, volumes=(GcsVolume("no name", "b"),)), "no name"),
    ],
)
def test_what_can_not_run_is_refused_first(cloud: FakeCloud, wish: Job, words: str) -> None:
    """A rule that a dry run is known to miss stops the step before any write."""
    (failed,) = go(make_plan([wish], cloud), cloud).failed.values()
    assert (failed.code, failed.exit) == ("job-illegal", Exit.REFUSED)
    assert words in failed.why
    assert cloud.writes == []


def test_what_cloud_run_refuses_changed_nothing(cloud: FakeCloud) -> None:
    """The dry run's own words, with exit 4; the live job is as it was."""
    assert go(make_plan([OURS], cloud), cloud).ok
    before = json.dumps(live(cloud))
    cloud.illegal = "spec.template.spec.template.spec.timeoutSeconds: maximum allowed time is one hour when using GPU"
    (failed,) = go(make_plan([replace(OURS, timeout=7200)], cloud), cloud).failed.values()
    assert (failed.code, failed.exit) == ("job-refused", Exit.REFUSED)
    assert "when using GPU" in failed.why
    assert json.dumps(live(cloud)) == before


def test_a_job_that_is_not_ready_is_not_as_wished(cloud: FakeCloud) -> None:
    """Cloud Run's condition is part of the wish; a job that stays so fails its step with the condition's words."""
    assert go(make_plan([OURS], cloud), cloud).ok
    failed = {"type": "Ready", "state": "CONDITION_FAILED", "message": "Image 'x' not found."}
    live(cloud)["terminalCondition"] = failed
    plan = make_plan([OURS], cloud)
    assert changes(plan) == {OURS.address: ("ready",)}
    cloud.after_call = lambda name: live(cloud).update(terminalCondition=failed) if name == "jobs.update" else None
    (trouble,) = go(plan, cloud).failed.values()
    assert (trouble.code, trouble.why) == ("job-not-ready", "Image 'x' not found.")
    cloud.after_call = lambda _name: None
    assert go(make_plan([OURS], cloud), cloud).ok
    assert changes(make_plan([OURS], cloud)) == {}


def test_a_grant_that_is_not_yet_in_effect_is_waited_for(cloud: FakeCloud) -> None:
    """Cloud Run may read a secret minutes after the grant: the step comes again, and its job is not made twice."""
    words = "Permission denied on secret: projects/1/secrets/HF_TOKEN/versions/latest for Revision service account a@b.c"
    refusals = [2]

    def early(name: str) -> None:
        if name == "jobs.finished" and refusals[0]:
            refusals[0] -= 1
            live(cloud)["terminalCondition"] = {"type": "Ready", "state": "CONDITION_FAILED", "message": words}
            raise refusal(400, words)

    cloud.before_call = early
    grant = IamMember(PolicyTarget("project", "demo-proj"), "roles/viewer", "user:me@example.com")
    assert go(make_plan([grant, replace(OURS, after=(grant.address,))], cloud), cloud).ok
    assert [call.name for call in cloud.writes] == ["policies.add", "jobs.create", "jobs.update", "jobs.update"]
    assert changes(make_plan([OURS], cloud)) == {}


def test_a_change_that_is_under_way_is_waited_for(cloud: FakeCloud) -> None:
    """A killed apply left the job reconciling: the next one writes nothing and ends when Cloud Run has."""
    assert go(make_plan([OURS], cloud), cloud).ok
    live(cloud)["reconciling"] = True
    plan, polls = make_plan([OURS], cloud), [2]

    def settled(name: str) -> None:
        polls[0] -= name == "jobs.get"
        if polls[0] == 0:
            live(cloud)["reconciling"] = False

    cloud.calls.clear()
    cloud.after_call = settled
    assert go(plan, cloud).ok
    assert cloud.writes == []


def test_only_what_is_marked_is_removed(cloud: FakeCloud) -> None:
    """A job without gemmactl's label stays; ours goes with its executions."""
    assert go(make_plan([CODELAB], cloud), cloud).ok
    plan = make_teardown([CODELAB], cloud)
    assert plan.count(Op.DELETE) == 0
    assert go(make_plan([OURS], cloud), cloud).ok
    cloud.jobs.run(OURS.full_name)
    assert go(make_teardown([OURS], cloud), cloud).ok
    assert (cloud.state.jobs, cloud.state.executions) == ({}, {})


def test_a_grant_on_our_job_is_ours(cloud: FakeCloud) -> None:
    """A service account's binding on a job goes with the job that gemmactl made, and stays on another's."""
    cloud.accounts.create("starter", "", "by hand")
    member = "serviceAccount:starter@demo-proj.iam.gserviceaccount.com"
    grant = IamMember(PolicyTarget("job", OURS.full_name), "roles/run.jobsExecutor", member)
    assert go(make_plan([CODELAB], cloud), cloud).ok
    assert not grant.ours(cloud, grant)
    assert go(make_plan([OURS], cloud), cloud).ok
    assert grant.ours(cloud, grant)


def test_a_refusal_for_other_reasons_keeps_its_meaning(cloud: FakeCloud) -> None:
    """A dry run that is denied is a lack of rights, not an illegal job."""

    def denied(name: str) -> None:
        if name == "jobs.create":
            raise Trouble("no", why="denied", remedy="grant", code="denied", facts={"status": 403})

    cloud.before_call = denied
    (failed,) = go(make_plan([OURS], cloud), cloud).failed.values()
    assert failed.code == "denied"
