"""Jobs, executions and tasks through the official clients, with real processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from google.api_core import exceptions

from gemmactl.sandbox.endpoint import Endpoint

from .conftest import REGION, RUN_SA, Cloud, boot, shut, until
from .job_desk import JOB, Desk, completed
from .test_services import alive

SLOW = "echo pid $$; trap 'echo saved; exit 143' TERM; sleep 60 & wait"
STUBBORN = "echo pid $$; trap '' TERM; sleep 60"


@pytest.fixture
def desk(cloud: Cloud, tmp_path: Path) -> Desk:
    cloud.world.settings = type(cloud.world.settings)(pace=0.01, grace=0.3)
    return Desk(cloud, tmp_path / "images")


def pid(desk: Desk, execution: str) -> int:
    """Of the program that said it."""
    (line, *_) = until(lambda: [line for line in desk.lines(execution) if line.startswith("pid ")])
    return int(line.split()[1])


def test_a_task_that_fails_twice_and_then_succeeds(desk: Desk) -> None:
    """Each try is a new process with its number; counts, task and log tell of the retries, and the execution has succeeded."""
    program = """
    env | grep -E '^(CLOUD_RUN_|PORT|K_|MINE|FROM_IMAGE|STORAGE_EMULATOR_HOST)' | sort
    [ "$CLOUD_RUN_TASK_ATTEMPT" = 2 ] || exit 1
    """
    job = desk.create(program, {"env": [{"name": "MINE", "value": "1"}]})
    assert (job.template.template.max_retries, job.template.template.timeout.seconds, job.template.task_count) == (3, 600, 1)
    operation, name = desk.run()
    short = name.rpartition("/")[2]
    execution = desk.end(operation)
    assert completed(execution)[0] == "CONDITION_SUCCEEDED"
    assert (execution.succeeded_count, execution.retried_count, execution.failed_count, execution.running_count) == (1, 1, 0, 0)
    assert execution.template.containers[0].image == job.template.template.containers[0].image
    task = desk.task(name)
    assert (task.retried, task.index, task.last_attempt_result.exit_code) == (2, 0, 0)
    assert desk.lines(name).count("Container called exit(1).") == 2
    assert desk.lines(name, 'labels."run.googleapis.com/task_attempt"="2"') == [
        f"CLOUD_RUN_EXECUTION={short}",
        "CLOUD_RUN_JOB=tune",
        "CLOUD_RUN_TASK_ATTEMPT=2",
        "CLOUD_RUN_TASK_COUNT=1",
        "CLOUD_RUN_TASK_INDEX=0",
        "FROM_IMAGE=yes",
        "MINE=1",
        f"STORAGE_EMULATOR_HOST={desk.world.base_url}",
        "Container called exit(0).",
    ]
    (entry, *_) = desk.world.logs.entries('resource.labels.job_name="tune"')
    assert entry["resource"] == {
        "type": "cloud_run_job",
        "labels": {"project_id": "gemmactl-sandbox", "job_name": "tune", "location": "us-central1"},
    }
    latest = desk.jobs.get_job(request={"name": JOB}).latest_created_execution
    assert (latest.name, latest.completion_status.name) == (short, "EXECUTION_SUCCEEDED")


def test_a_task_that_fails_for_good(desk: Desk) -> None:
    """After maxRetries the operation has Cloud Run's error, and task and execution say the exit code."""
    desk.create("exit 3", max_retries=1)
    operation, name = desk.run()
    text = f"Task {name.rpartition('/')[2]}-task0 failed with exit code: 3 and message: The container exited with an error."
    with pytest.raises(exceptions.Aborted, match=text):
        desk.end(operation)
    execution, result = desk.execution(name), desk.task(name).last_attempt_result
    assert completed(execution) == ("CONDITION_FAILED", "NON_ZERO_EXIT_CODE", text)
    assert (execution.failed_count, execution.retried_count, execution.succeeded_count) == (1, 1, 0)
    assert (result.exit_code, result.term_signal, result.status.code) == (3, 0, 10)


def test_each_attempt_has_the_full_timeout(desk: Desk) -> None:
    """The time is over: SIGTERM lets the program save; who ignores it is killed; the last attempt's end is the execution's."""
    program = f"if [ $CLOUD_RUN_TASK_ATTEMPT = 0 ]; then {SLOW}; else {STUBBORN}; fi"
    desk.create(program, max_retries=1, timeout="1s")
    operation, name = desk.run()
    with pytest.raises(exceptions.DeadlineExceeded, match="failed with exit code: 0 and message: The configured timeout was"):
        desk.end(operation)
    lines = desk.lines(name)
    assert sum(line.startswith("Terminating task because it has reached the maximum timeout of 1 s") for line in lines) == 2
    assert lines.count("saved") == 1
    execution = desk.execution(name)
    assert (execution.failed_count, execution.retried_count) == (1, 1)
    assert desk.task(name).last_attempt_result.status.code == 4
    assert not any(alive(int(line.split()[1])) for line in lines if line.startswith("pid "))


def test_cancelling_ends_the_process_and_starts_no_other(desk: Desk) -> None:
    """SIGTERM, the counts say cancelled, nothing is retried, the run's operation has no error; a second time is refused."""
    desk.create(SLOW, task_count=3, parallelism=1)
    operation, name = desk.run()
    process = pid(desk, name)
    assert desk.execution(name).running_count == 1
    gone = desk.executions.cancel_execution(request={"name": name}).result(timeout=20)
    assert not alive(process)
    assert completed(gone) == ("CONDITION_FAILED", "CANCELLED", "Cancelled by user.")
    assert (gone.cancelled_count, gone.failed_count, gone.retried_count, gone.running_count) == (3, 0, 0, 0)
    assert desk.lines(name)[1:] == ["saved"]
    assert desk.end(operation).cancelled_count == 3
    with pytest.raises(exceptions.BadRequest, match="cannot be cancelled because it is not running"):
        desk.executions.cancel_execution(request={"name": name})


def test_overrides_are_for_one_execution_and_a_right_of_their_own(desk: Desk) -> None:
    """args, env, taskCount and timeout; run.jobs.run alone is not enough for them; each task knows its index."""
    desk.create('echo "$CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT $A $B $*"', {"env": [{"name": "A", "value": "a"}]})
    overrides = {
        "task_count": 2,
        "timeout": "5s",
        "container_overrides": [{"args": ["x", "y"], "env": [{"name": "B", "value": "b"}]}],
    }
    runner = "runner@sandbox.invalid"
    desk.world.iam.grant(f"user:{runner}", "roles/run.jobsExecutor", JOB)
    with pytest.raises(exceptions.Forbidden, match=r"run\.jobs\.runWithOverrides"):
        desk.run(runner, overrides=overrides)
    for rights, request in (("roles/run.jobsExecutor", {}), ("roles/run.jobsExecutorWithOverrides", {"overrides": overrides})):
        desk.world.iam.grant(f"user:{runner}", rights, JOB)
        operation, name = desk.run(runner, **request)
        until(lambda name=name: desk.execution(name).completion_time)
        said = sorted(line.strip() for line in desk.lines(name) if " of " in line)
        assert said == (["0 of 2 a b x y", "1 of 2 a b x y"] if request else ["0 of 1 a"]), operation
    assert (desk.execution(name).succeeded_count, desk.execution(name).template.timeout.seconds) == (2, 5)
    assert desk.jobs.get_job(request={"name": JOB}).template.task_count == 1


def test_a_maintenance_event_kills_an_attempt(desk: Desk) -> None:
    """Ordered for now or for a line of the log: SIGKILL without warning, and the next attempt goes on."""
    world = desk.world
    endpoint = Endpoint(world.base_url, world.project, world.number, secret=world.secret)
    desk.create(f"echo step 7 of $CLOUD_RUN_TASK_ATTEMPT; [ $CLOUD_RUN_TASK_ATTEMPT = 2 ] || {{ {SLOW}; }}")
    endpoint.maintenance("tune", "step 7 of 0")
    operation, name = desk.run()
    until(lambda: "step 7 of 1" in desk.lines(name) and [x for x in desk.lines(name) if x.startswith("pid ")])
    assert desk.task(name).last_attempt_result.term_signal == 9
    endpoint.maintenance("tune")
    assert desk.end(operation).succeeded_count == 1
    assert desk.lines(name).count("Container terminated on signal 9.") == 2
    assert "saved" not in desk.lines(name)
    assert desk.task(name).retried == 2


def test_the_task_speaks_as_the_jobs_account_and_has_its_secrets(desk: Desk) -> None:
    """The metadata server gives the job's account; a secret that it may not read stops the deployment, in Cloud Run's words."""
    from google.cloud import secretmanager_v1

    secrets = desk.cloud.client(secretmanager_v1.SecretManagerServiceClient)
    parent = "projects/gemmactl-sandbox"
    secret = secrets.create_secret(request={"parent": parent, "secret_id": "hf", "secret": {"replication": {"automatic": {}}}})
    secrets.add_secret_version(request={"parent": secret.name, "payload": {"data": b"s3"}})
    env = [{"name": "HF_TOKEN", "value_source": {"secret_key_ref": {"secret": "hf", "version": "latest"}}}]
    program = """
    import json, os, urllib.request
    url = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/instance/service-accounts/default/email"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    print(json.dumps({"email": urllib.request.urlopen(request).read().decode(), "token": os.environ["HF_TOKEN"]}))
    """
    container = {"env": env, "command": ["python3", "-c"], "args": ["\n".join(x.strip() for x in program.splitlines())]}
    with pytest.raises(exceptions.InternalServerError, match=r"value_from\.secret_key_ref\.name: Permission denied on secret"):
        desk.create("", container)
    with pytest.raises(exceptions.BadRequest, match="is not ready to be run"):
        desk.run()
    desk.world.iam.grant(f"serviceAccount:{RUN_SA}", "roles/secretmanager.secretAccessor", secret.name)
    job = desk.jobs.get_job(request={"name": JOB})
    desk.jobs.update_job(request={"job": job}).result(timeout=20)
    operation, _ = desk.run()
    desk.end(operation)
    (said,) = desk.world.logs.entries('resource.type="cloud_run_job" AND jsonPayload.email:*')
    assert said["jsonPayload"] == {"email": RUN_SA, "token": "s3"}


def test_an_image_that_is_not_there(desk: Desk) -> None:
    """The deployment fails as a service's does, and the job says so."""
    body = desk.body("exit 0")
    body["template"]["template"]["containers"][0]["image"] = "us-central1-docker.pkg.dev/gemmactl-sandbox/repo/none:v1"
    with pytest.raises(exceptions.NotFound, match=r"Image '.*none:v1' not found"):
        desk.jobs.create_job(request={"parent": REGION, "job_id": "tune", "job": body}).result(timeout=20)
    assert desk.jobs.get_job(request={"name": JOB}).terminal_condition.state.name == "CONDITION_FAILED"


def test_an_image_whose_files_are_lost(desk: Desk) -> None:
    """An attempt that this machine can't start is a failed one, and its log says so."""
    desk.create("exit 0", max_retries=0)
    shutil.rmtree(desk.folder)
    operation, name = desk.run()
    with pytest.raises(exceptions.InternalServerError, match="could not start the container"):
        desk.end(operation)
    assert desk.lines(name)[0].startswith("SANDBOX: the attempt could not be started")


def test_a_patch_that_changes_nothing_keeps_the_generation(desk: Desk) -> None:
    """Sent back as it was read, a job stays of its generation; with another label it is a new one."""
    job = desk.create("exit 0")
    assert desk.jobs.update_job(request={"job": job}).result(timeout=20).generation == 1
    job = desk.jobs.get_job(request={"name": JOB})
    job.labels["a"] = "b"
    assert desk.jobs.update_job(request={"job": job}).result(timeout=20).generation == 2


def test_deleting_a_job_ends_what_runs(desk: Desk) -> None:
    """The process is gone, and job, executions and tasks with it."""
    desk.create(SLOW)
    operation, name = desk.run()
    process = pid(desk, name)
    desk.jobs.delete_job(request={"name": JOB}).result(timeout=20)
    assert not alive(process)
    for missing in (lambda: desk.execution(name), lambda: desk.task(name), lambda: desk.jobs.get_job(request={"name": JOB})):
        with pytest.raises(exceptions.NotFound, match="does not exist"):
            missing()
    assert operation.done()


def test_a_restart_fails_what_ran(tmp_path: Path) -> None:
    """The process ends with its sandbox; the next one tells the execution as failed, not as running."""
    world, server = boot(tmp_path / "home", pace=0.01, grace=0.3)
    from gemmactl.sandbox.apis_api import switch_on

    switch_on(world, "run.googleapis.com")
    desk = Desk(Cloud(world), tmp_path / "images")
    desk.create(SLOW)
    operation, name = desk.run()
    process = pid(desk, name)
    shut(world, server)
    until(lambda: not alive(process))
    world, server = boot(tmp_path / "home")
    again = Desk(Cloud(world), tmp_path / "images")
    execution = again.execution(name)
    text = "The sandbox was stopped before the execution completed."
    assert completed(execution) == ("CONDITION_FAILED", "NON_ZERO_EXIT_CODE", text)
    assert (execution.failed_count, execution.running_count) == (1, 0)
    assert again.jobs.get_operation(request={"name": operation.operation.name}).error.code in (10, 14)
    shut(world, server)
