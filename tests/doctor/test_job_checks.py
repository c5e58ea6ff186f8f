"""Live checks of a job: what it names must be there; what only a service can break is no question."""

from __future__ import annotations

from dataclasses import replace

from gemmactl.doctor.checks.check import Ground, Verdict
from gemmactl.doctor.checks.rows import CHECKS
from gemmactl.doctor.checks.run import run
from gemmactl.doctor.finding import Context
from gemmactl.resources.cloud import Account
from gemmactl.resources.surroundings import OrgPolicy, SubnetInfo
from tests.doctor.test_checks import cloud_with
from tests.fakes.cloud import DIGEST, FakeCloud
from tests.knative.sheets import codelab_job

JOB = replace(codelab_job().job, project="demo-proj")
IMAGE = "us-central1-docker.pkg.dev/demo-proj/codelab-finetuning-jobs/finetune-to-gcs:latest"


def ends(cloud: FakeCloud, **fields: object) -> dict[str, Verdict]:
    """The verdicts that are not ok."""
    job = replace(JOB, **fields)  # type: ignore[arg-type]  # fields by name
    ground = Ground(cloud, (job,), context=Context(project="demo-proj", caller=cloud.caller()))
    return {v.check: v for v in run(CHECKS, ground) if v.end != "ok"}


def whole() -> FakeCloud:
    """A project in which the codelab's steps 3 and 4 were done."""
    subnet = "projects/demo-proj/regions/us-central1/subnetworks/default"
    cloud = cloud_with(images={IMAGE: DIGEST}, subnets={subnet: SubnetInfo("default", "10.0.0.0/24", True)})
    cloud.accounts.create("finetune-job-sa", "", "")
    cloud.secrets.create("projects/demo-proj/secrets/HF_TOKEN", "us-central1", {})
    cloud.secrets.add_version("projects/demo-proj/secrets/HF_TOKEN", b"x")
    return cloud


def test_the_codelabs_job_after_the_codelabs_steps() -> None:
    """Nothing is in its way: `latest` of its secret is looked for as a version."""
    assert ends(whole()) == {}


def test_what_it_names_and_is_not_there() -> None:
    """Account, secret and image each by its name, before anything is made."""
    found = ends(cloud_with())
    assert found["service accounts"].findings[0].title == (
        "service account finetune-job-sa@demo-proj.iam.gserviceaccount.com does not exist"
    )
    assert found["secrets"].findings[0].title == "secret HF_TOKEN has no version latest"
    assert found["image"].findings[0].title == f"there is no image {IMAGE}"


def test_an_account_that_is_disabled() -> None:
    """It can't run anything."""
    cloud = whole()
    email = "finetune-job-sa@demo-proj.iam.gserviceaccount.com"
    cloud.state.accounts[email] = Account(email, disabled=True)
    assert "is disabled" in ends(cloud)["service accounts"].findings[0].title


def test_policies_on_callers_do_not_concern_a_job() -> None:
    """Nobody calls it."""
    cloud = whole()
    cloud.state.org_policies["run.allowedIngress"] = OrgPolicy("run.allowedIngress", allowed=("is:internal",))
    assert "org policy run.allowedIngress" not in ends(cloud)


def test_more_tasks_at_a_time_than_gpus() -> None:
    """A job takes a GPU for each task that runs at the same time."""
    verdict = ends(whole(), parallelism=5, task_count=5)["quota"]
    assert "this job may take 5" in verdict.findings[0].cause


def test_a_rule_that_a_dry_run_misses() -> None:
    """As a job's, not a service's."""
    verdict = ends(whole(), max_retries=11)["service"]
    assert (verdict.findings[0].code, "max retries 11" in verdict.findings[0].title) == ("job-illegal", True)
