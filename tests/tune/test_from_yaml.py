"""A job's own YAML: applied as written and started, or moved to gemmactl's worker with every change told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetune_image.contract import DONE, ENV_TASK_SECONDS, RUN_FILE, RUNS
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.resource import Clock
from gemmactl.knative.read_job import ReadJob
from gemmactl.resources.cloud import BucketInfo, LogEntry
from gemmactl.resources.context import BuildContext
from gemmactl.tune.find import variable
from gemmactl.tune.from_yaml import Way, plan, run
from gemmactl.tune.status import status
from gemmactl.tune.steering import cancel
from tests.doctor.test_job_checks import whole
from tests.fakes.cloud import FakeCloud
from tests.fakes.executions import Ending
from tests.golden.replay import golden
from tests.knative.sheets import JOB, JOB_ENVIRON, codelab_job, job_sheet
from tests.serving.ear import Ear, place
from tests.tune import desk

BUCKET = JOB_ENVIRON["BUCKET_NAME"]
FULL = f"{desk.PARENT}/jobs/finetuning-to-gcs-job"
STILL = Clock(sleep=lambda _: None)
CONTEXT = BuildContext((("finetune_image/Dockerfile", b"FROM scratch\n"),), "fedcba9876543210" * 4)
WRITTEN = Way(yes=True, follow=False, clock=STILL)
MODERN = Way(yes=True, modern=True, follow=False, clock=STILL, context=CONTEXT)
NAME = "gemma-2b-sql-finetuned"


def project() -> FakeCloud:
    """After the codelab's steps 3 and 4."""
    cloud = whole()
    cloud.storage.create_bucket(BucketInfo(BUCKET, "us-central1"))
    cloud.ending = Ending(polls=-1)
    return cloud


def without(line: str) -> ReadJob:
    """The codelab's file but for a line."""
    assert line in JOB.replace("\u00a0", " ")
    text = "\n".join(one for one in JOB.replace("\u00a0", " ").splitlines() if line not in one)
    return job_sheet(text, **JOB_ENVIRON)


def test_as_written() -> None:
    """The body that gcloud sent, with nothing added, then one execution; the same again changes nothing and joins it."""
    cloud = project()
    done = run(codelab_job(), place(cloud), Ear(), WRITTEN)
    assert done.exit is Exit.OK, done.problems
    live, recorded = cloud.state.jobs[FULL], golden("29")
    (box,), (theirs,) = live["template"]["template"]["containers"], recorded["template"]["template"]["containers"]
    assert {key: box[key] for key in theirs} == theirs
    assert "labels" not in live
    assert live["launchStage"] == "ALPHA"
    cloud.calls.clear()
    again = run(codelab_job(), place(cloud), Ear(), WRITTEN)
    assert ([call.name for call in cloud.writes], len(cloud.state.executions)) == ([], 1)
    assert "under way already" in str(again.blocks)
    assert again.next[0] == "gemmactl finetune status finetuning-to-gcs-job --project demo-proj"


def test_a_plan_makes_read_calls_only() -> None:
    """With what the file leaves open, and the command that does it."""
    cloud = project()
    cloud.calls.clear()
    shown = plan(codelab_job(), place(cloud), WRITTEN, again="gemmactl finetune run --from-yaml f")
    assert (cloud.writes, shown.exit, shown.next) == ([], Exit.OK, ("gemmactl finetune run --from-yaml f",))
    assert [one["code"] for one in shown.data["remarks"]] == ["redundancy-open"]


def test_what_the_file_names_must_be_there() -> None:
    """Account, secret, image and bucket are told before anything is made."""
    cloud = FakeCloud()
    cloud.apis.enable(["run.googleapis.com"])
    cloud.calls.clear()
    done = run(codelab_job(), place(cloud), Ear(), WRITTEN)
    assert (done.exit, cloud.writes) == (Exit.REFUSED, [])
    assert {"account-missing", "secret-missing", "image-missing", "bucket-missing"} <= {one.code for one in done.problems}


def test_it_is_found_stopped_and_watched_by_its_jobs_name() -> None:
    """Although it carries no label of ours."""
    cloud = project()
    run(codelab_job(), place(cloud), Ear(), WRITTEN)
    assert status(place(cloud), "finetuning-to-gcs-job").data["state"] == "running"
    ended = cancel(place(cloud), "finetuning-to-gcs-job", Ear(), STILL, yes=True)
    assert ended.data["executions"][0]["state"] == "cancelled"


def test_following_ends_with_the_execution() -> None:
    """What it writes is said, and how it ended is the command's own end."""
    cloud, ear = project(), Ear()
    cloud.ending = Ending(1, polls=2, retried=3)
    entry = LogEntry("2026-11-22T12:00:05Z", "ERROR", "out of memory\x1b[2J", "a")
    cloud.state.logs.append(('"run.googleapis.com/execution_name"="finetuning-to-gcs-job-00001"', entry))
    with pytest.raises(Trouble) as caught:
        run(codelab_job(), place(cloud), ear, replace(WRITTEN, follow=True))
    assert (caught.value.code, caught.value.exit) == ("execution-failed", Exit.GATE)
    assert any("out of memory" in line and "\x1b" not in line for line in ear.said)
    cloud.ending = Ending(polls=1)
    assert run(codelab_job(), place(cloud), ear, replace(WRITTEN, follow=True)).exit is Exit.OK


def test_leaving_leaves_it_running() -> None:
    """Ctrl-C ends the watching alone, and says how to come back."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    cloud = project()
    with pytest.raises(Trouble) as caught:
        run(codelab_job(), place(cloud), Ear(), replace(WRITTEN, follow=True, clock=Clock(sleep=interrupt)))
    assert (caught.value.exit, "gemmactl finetune cancel finetuning-to-gcs-job" in caught.value.remedy) == (
        Exit.INTERRUPTED, True,
    )  # fmt: skip
    assert "completionTime" not in next(iter(cloud.state.executions.values()))


def test_nobody_confirms() -> None:
    """Nothing is changed."""
    cloud = project()
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        run(codelab_job(), place(cloud), Ear(yes=False), replace(WRITTEN, yes=False))
    assert (caught.value.code, cloud.writes) == ("not-confirmed", [])


def test_moved_to_the_worker() -> None:
    """Image, stage, redundancy, mount, pinned secret, labels: each told with its reason; the script's variables stay."""
    cloud, ear = project(), Ear()
    before = codelab_job().job
    done = run(codelab_job(), place(cloud), ear, MODERN)
    assert done.exit is Exit.OK, done.problems
    live = cloud.state.jobs[FULL]
    task = live["template"]["template"]
    (box,) = task["containers"]
    assert box["image"].startswith("us-central1-docker.pkg.dev/demo-proj/gemmactl/finetune@sha256:")
    assert (live["launchStage"], task["gpuZonalRedundancyDisabled"], task["timeout"]) == ("GA", True, "3600s")
    assert not task.get("volumes")
    assert not box.get("volumeMounts")
    assert task["serviceAccount"] == before.service_account
    assert live["labels"] == {"managed-by": "gemmactl", "gemmactl-name": NAME}
    assert variable(live, ENV_TASK_SECONDS) == "3600"
    for one in (before.containers or ())[0].env or ():
        told = next(e for e in box["env"] if e["name"] == one.name)
        assert told.get("value") == getattr(one, "value", None) if one.name != "HF_TOKEN" else True
    token = next(e for e in box["env"] if e["name"] == "HF_TOKEN")
    assert token["valueSource"]["secretKeyRef"] == {"secret": "HF_TOKEN", "version": "1"}
    fields = [one["field"] for one in done.data["modernised"]]
    assert fields[:6] == [
        "image", "launch-stage", "gpu-zonal-redundancy-disabled", "volume finetuned_model", "secret HF_TOKEN", ENV_TASK_SECONDS,
    ]  # fmt: skip
    assert all(one["why"] for one in done.data["modernised"])
    assert {"precision", "merge", "attempt", "padding", "result"} <= set(fields)
    assert f"bucket {BUCKET}" not in [step["address"] for step in done.data["steps"]]


def test_moved_twice_is_moved_once() -> None:
    """The plan of the result is empty, and of a file that is modern already nothing is changed but what the worker does."""
    cloud = project()
    run(codelab_job(), place(cloud), Ear(), MODERN)
    cloud.calls.clear()
    again = run(codelab_job(), place(cloud), Ear(), MODERN)
    assert ([call.name for call in cloud.writes], again.data["changes"]) == ([], 0)


def test_without_an_account_one_is_made() -> None:
    """It may write the bucket and read the token's secret."""
    cloud = project()
    done = run(without("serviceAccountName"), place(cloud), Ear(), MODERN)
    assert done.exit is Exit.OK, done.problems
    account = cloud.state.jobs[FULL]["template"]["template"]["serviceAccount"]
    held = {(str(target), role) for target, roles in cloud.state.policies.items() for role, who in roles.items()
            if f"serviceAccount:{account}" in who}  # fmt: skip
    assert held == {
        (f"bucket {BUCKET}", "roles/storage.objectUser"), ("secret HF_TOKEN", "roles/secretmanager.secretAccessor"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("- name: BUCKET_NAME\n", "- name: OTHER\n", "no variable BUCKET_NAME"),
        ('value: "8"', 'value: "many"', "variable LORA_R: it must be a whole number"),
    ],
)
def test_what_can_not_be_moved(old: str, new: str, words: str) -> None:
    """Told with the file's name, before anything is made."""
    text = JOB.replace("\u00a0", " ")
    assert old in text
    with pytest.raises(Trouble) as caught:
        run(job_sheet(text.replace(old, new), **JOB_ENVIRON), place(project()), Ear(), MODERN)
    assert caught.value.exit is Exit.USAGE
    assert "finetune-job.yaml" in caught.value.what
    assert words in f"{caught.value.what} {caught.value.why}"


def test_the_end_of_a_moved_one_is_its_runs() -> None:
    """What the worker wrote into the codelab's bucket: the figures, and the command that serves the model."""
    cloud = project()
    cloud.ending = Ending(polls=1)
    written = desk.with_run(cloud, name=NAME, bucket=BUCKET)
    cloud.storage.write(BUCKET, f"{RUNS}/{NAME}/{desk.RUN_ID}/{DONE}", b'{"figures": {"step": 3, "max_steps": 3}}')
    assert cloud.storage.read(BUCKET, f"{RUNS}/{NAME}/{desk.RUN_ID}/{RUN_FILE}") == written.text().encode()
    done = run(codelab_job(), place(cloud), Ear(), replace(MODERN, follow=True))
    assert (done.exit, done.data["run"], done.data["state"]) == (Exit.OK, desk.RUN_ID, "done")
    assert done.next[0].startswith(f"gemmactl deploy gs://{BUCKET}/gemmactl/models/{NAME}/{desk.RUN_ID} --name {NAME}")


def test_the_sandbox_has_no_image_of_others() -> None:
    """Refused before any change, with both ways on."""
    cloud = project()
    with pytest.raises(Trouble) as caught:
        run(codelab_job(), replace(place(cloud), target="sandbox"), Ear(), WRITTEN)
    assert (caught.value.code, "--modernise" in caught.value.remedy) == ("engine-not-in-sandbox", True)
