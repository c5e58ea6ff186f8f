"""A job's YAML as a typed wish: nothing of it is lost, nothing is guessed, every fault has its line."""

from __future__ import annotations

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.service_types import SecretEnv
from tests.golden.replay import golden
from tests.knative.sheets import JOB, JOB_ENVIRON, SMALL, codelab_job, job_sheet


def test_the_codelabs_yaml_gives_the_body_that_gcloud_sent() -> None:
    """As published, indented with non-breaking spaces: golden 29, but for the container's name, which it leaves out."""
    body, recorded = codelab_job().job.body(), golden("29")
    assert "\u00a0" in JOB
    (container,) = body["template"]["template"]["containers"]
    assert container.pop("name") == "finetune-to-gcs"
    assert body == recorded


def test_what_was_repaired_is_told() -> None:
    """The non-breaking spaces, counted."""
    assert [note.partition(" (")[0].partition(" x ")[2] for note in codelab_job().notes] == ["U+00A0"]


def test_the_location_is_the_region_and_no_label() -> None:
    """cloud.googleapis.com/location would be refused as a system label in v2."""
    found = codelab_job()
    assert (found.region, found.job.labels, found.job.name) == ("us-central1", None, "finetuning-to-gcs-job")


def test_the_variables_of_the_page_must_be_set() -> None:
    """Each is named with its line."""
    with pytest.raises(Trouble) as caught:
        job_sheet(JOB)
    assert all(f"{name} (line " in caught.value.why for name in JOB_ENVIRON)


RICH = (
    ("run.googleapis.com/launch-stage: ALPHA", "run.googleapis.com/creator: me@example.com"),
    (
        "execution-environment: gen2",
        "gpu-zonal-redundancy-disabled: 'true'\n        run.googleapis.com/secrets: a:projects/q/secrets/t",
    ),
    ("parallelism: 1", "parallelism: 0"),
    ("name: HF_TOKEN\n", "name: a\n"),
)


def changed(*changes: tuple[str, str]) -> str:
    text = JOB.replace("\u00a0", " ")
    for old, new in changes:
        assert old in text
        text = text[: text.rindex(old)] + new + text[text.rindex(old) + len(old) :]
    return text


def test_the_other_fields_of_the_form() -> None:
    """Redundancy, a secret of another project, all tasks at once; what Cloud Run writes about itself is left out."""
    found = job_sheet(changed(*RICH), **JOB_ENVIRON)
    job = found.job
    assert (job.gpu_zonal_redundancy_disabled, job.parallelism, job.launch_stage, job.execution_environment) == (
        True, 0, None, None,
    )  # fmt: skip
    assert [one for one in (job.containers or ())[0].env or () if isinstance(one, SecretEnv)] == [
        SecretEnv("HF_TOKEN", "projects/q/secrets/t", "latest")
    ]
    assert any("run.googleapis.com/creator" in note for note in found.notes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("maxRetries: 3", "maxRetry: 3", "maxRetry is no field of a job; did you mean maxRetries?"),
        ("taskCount: 1", "tasks: 1", "tasks is no field of a job; did you mean taskCount?"),
        ("timeoutSeconds: '3600'", "timeoutSeconds: 1h", "timeoutSeconds must be a whole number, not '1h'"),
        ("network-interfaces", "network-interface", "did you mean run.googleapis.com/network-interfaces?"),
        ("parallelism: 1", "backoffLimit: 1", "backoffLimit is no field of a job"),
        (
            "      annotations:\n        run.googleapis.com/ex",
            "      labels:\n        team: a\n      annotations:\n        run.googleapis.com/ex",
            "labels.team is not carried by gemmactl: `gcloud run jobs replace` labels an execution",
        ),
        (
            "nodeSelector:",
            "runtimeClassName: x\n          nodeSelector:",
            "runtimeClassName is not carried by gemmactl: `gcloud run jobs replace` applies it",
        ),
        ('value: "8"', "value: hf_abcdefgh12345678", "looks like a Hugging Face token"),
    ],
)
def test_a_fault_is_told_by_name_and_line(old: str, new: str, said: str) -> None:
    """Unknown fields with the closest known one, values that can't be, and fields that would be dropped."""
    with pytest.raises(Trouble) as caught:
        job_sheet(changed((old, new)), **JOB_ENVIRON)
    assert caught.value.exit is Exit.USAGE
    assert caught.value.what.startswith("finetune-job.yaml:")
    assert said in f"{caught.value.what} {caught.value.why}"


def test_a_service_is_sent_to_its_own_verb() -> None:
    """And anything else to the file that is meant."""
    with pytest.raises(Trouble) as caught:
        job_sheet(SMALL)
    assert caught.value.code == "yaml-not-a-job"
    assert caught.value.remedy == "a service's file: gemmactl deploy --from-yaml finetune-job.yaml"
    with pytest.raises(Trouble) as caught:
        job_sheet(SMALL.replace("serving.knative.dev/v1", "batch/v1").replace("kind: Service", "kind: Job"))
    assert "gcloud run jobs replace" in caught.value.remedy
