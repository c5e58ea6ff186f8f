"""What Cloud Run refuses in a job before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemmactl.sandbox.job_defaults import with_defaults
from gemmactl.sandbox.job_rules import check
from gemmactl.sandbox.quota import Quota, check_job_quota
from gemmactl.sandbox.wire import ApiError

GOLDEN = Path(__file__).parents[1] / "golden" / "29-alpha-run-jobs-replace.json"


def job(outer: dict[str, Any] | None = None, container: dict[str, Any] | None = None, **task: Any) -> dict[str, Any]:
    """A legal GPU job, changed."""
    limits = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}
    containers = [{"image": "us-central1-docker.pkg.dev/p/r/i:t", "resources": {"limits": limits}, **(container or {})}]
    legal = {"nodeSelector": {"accelerator": "nvidia-l4"}, "gpuZonalRedundancyDisabled": True, "timeout": "3600s"}
    return {"template": {"taskCount": 1, **(outer or {}), "template": {"containers": containers, **legal, **task}}}


def refusal(document: dict[str, Any], *, dry: bool = False) -> str:
    """Field and sentence, or nothing."""
    try:
        check(document, "tune", dry=dry)
        check_job_quota(with_defaults(document, "x")["template"], Quota())
    except ApiError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("document", "field", "text"),
    [
        (job(), "", ""),
        (job(maxRetries=10), "", ""),
        (job(maxRetries=11), "template.template.max_retries", "max_retries must be between 0 and 10."),
        (job(timeout="3601s"), "template.template.timeout", "timeout must be less than or equal to 3600 seconds when using GPU."),
        (job(timeout="0s"), "template.template.timeout", "timeout must be greater than 0 seconds."),
        (
            job(gpuZonalRedundancyDisabled=False),
            "template.template.gpu_zonal_redundancy_disabled",
            "GPU zonal redundancy must be disabled in order to set GPU requirements for a job.",
        ),
        (
            job(executionEnvironment="EXECUTION_ENVIRONMENT_GEN1"),
            "template.template.execution_environment",
            "Execution environment must be set to gen2 in order to set GPU requirements.",
        ),
        (
            job(container={"livenessProbe": {"httpGet": {}}}),
            "template.template.containers[0].liveness_probe",
            "liveness_probe is not supported for jobs.",
        ),
        (job(container={"startupProbe": {"tcpSocket": {"port": 8080}}}), "", ""),
        (
            job(container={"env": [{"name": "CLOUD_RUN_JOB", "value": "x"}]}),
            "template.template.containers[0].env",
            ("The following reserved env names were provided: CLOUD_RUN_JOB. These values are automatically set by the system."),
        ),
        (job(container={"env": [{"name": "PORT", "value": "1"}]}), "", ""),
        (job({"taskCount": 10_001}), "template.task_count", "task_count must be between 1 and 10000."),
        (
            job({"taskCount": 2}),
            "template.parallelism",
            (
                "Parallelism must be set to 1 or fewer to set the requested total memory. Quota violated: "
                "MemAllocPerProjectRegion requested: 68719476736 allowed: 42949672960"
            ),
        ),
        (job({"taskCount": 4, "parallelism": 1}), "", ""),
        (
            job({"taskCount": 9, "parallelism": 4}),
            "template.parallelism",
            (
                "Parallelism must be set to 3 or fewer in order to set GPU requirements. To request quota: "
                "g.co/cloudrun/gpu-quota Quota violated: NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion "
                "requested: 4 allowed: 3"
            ),
        ),
        (
            job(volumes=[{"name": "m", "gcs": {"bucket": "b"}}]),
            "template.template.volumes",
            "the sandbox mounts secrets alone: it starts the container as a process of this machine",
        ),
        ({"template": {"template": {"containers": [{"image": "a/b"}], "timeout": "604800s", "maxRetries": 0}}}, "", ""),
        (
            {"template": {"template": {"containers": [{"image": "a/b"}], "timeout": "604801s"}}},
            "template.template.timeout",
            "timeout must be less than or equal to 604800 seconds.",
        ),
    ],
)
def test_refusals(document: dict[str, Any], field: str, text: str) -> None:
    """Each rule with its field and its whole sentence; what is legal passes."""
    assert refusal(document) == (f"{field}: {text}" if field else "")


TASK, BOX = "template.template", "template.template.containers[0]"


def keyed(**reference: Any) -> dict[str, Any]:
    """A variable from a secret."""
    return {"env": [{"name": "A", "valueSource": {"secretKeyRef": reference}}]}


@pytest.mark.parametrize(
    ("document", "field", "text"),
    [
        (
            job(container={"resources": {"limits": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}}}),
            f"{BOX}.resources.limits",
            "CPU must be at least 4; memory must be at least 16Gi in order to set GPU requirements.",
        ),
        (
            job(container={"resources": {"limits": {"cpu": "4", "memory": "32Gi", "nvidia.com/gpu": "1"}}}),
            f"{BOX}.resources.limits.memory",
            (
                "Invalid value specified for memory with gen2 execution environment. For 4.0 CPU, memory must be "
                "between 2Gi and 16Gi inclusive."
            ),
        ),
        (
            job(container={"startupProbe": {"tcpSocket": {}, "periodSeconds": 241}}),
            f"{BOX}.startup_probe",
            "period_seconds must be a number between 0 and 240.",
        ),
        (
            job(vpcAccess={"networkInterfaces": [{}, {}]}),
            f"{TASK}.vpc_access.network_interfaces",
            "at most 1 network interface is allowed",
        ),
        (
            job(container={"volumeMounts": [{"name": "m", "mountPath": "/mnt"}]}),
            f"{BOX}.volume_mounts",
            "volume m is not defined",
        ),
        (
            job(
                container={"volumeMounts": [{"name": "m", "mountPath": "/proc/x"}]},
                volumes=[{"name": "m", "secret": {"secret": "s"}}],
            ),
            f"{BOX}.volume_mounts.mount_path",
            "mounting under /proc/x is not allowed",
        ),
        (
            job(container=keyed(secret="a/b")),
            f"{BOX}.env[0].value_source.secret_key_ref.secret",
            "invalid secret name: a/b",
        ),
        (
            job(container=keyed(secret="a", version="1.2")),
            f"{BOX}.env[0].value_source.secret_key_ref.version",
            "invalid secret version: 1.2",
        ),
        (
            job({"annotations": {"run.googleapis.com/x": "y"}}),
            "template.annotations",
            "system annotations are not supported",
        ),
        (job({"labels": {"serving.knative.dev/x": "y"}}), "template.labels", "system annotations are not supported"),
    ],
)
def test_a_dry_run_refuses_what_it_does_of_a_service(document: dict[str, Any], field: str, text: str) -> None:
    """The rules that both have, in the same words one level deeper."""
    assert refusal(document, dry=True) == f"{field}: {text}"


@pytest.mark.parametrize(
    ("document", "field", "text"),
    [
        (
            job(container={"startupProbe": {"tcpSocket": {}, "timeoutSeconds": 6, "periodSeconds": 5}}),
            f"{BOX}.startup_probe",
            "timeout_seconds must be less than or equal to period_seconds.",
        ),
        (
            job(container={"startupProbe": {"tcpSocket": {}, "periodSeconds": 200, "failureThreshold": 10}}),
            f"{BOX}.startup_probe",
            "failure_threshold * period_seconds must be less than or equal to 1800.",
        ),
        (
            job(
                container={"volumeMounts": [{"name": "m", "mountPath": "/mnt"}] * 2},
                volumes=[{"name": "m", "secret": {"secret": "s"}}],
            ),
            f"{BOX}.volume_mounts",
            "duplicate value: /mnt",
        ),
        (
            job(volumes=[{"name": "a b", "secret": {"secret": "s"}}]),
            f"{TASK}.volumes",
            "a b should only have alphanumeric characters, hyphens and underscores",
        ),
        (
            job(nodeSelector={"accelerator": "nvidia-t4"}),
            f"{TASK}.node_selector.accelerator",
            "Accelerator nvidia-t4 is not supported.",
        ),
        (job(container=keyed()), f"{BOX}.env[0].value_source.secret_key_ref.secret", "secret is required"),
        (job(container={"workingDir": "app"}), f"{BOX}.working_dir", "app should be a valid unix absolute path"),
    ],
)
def test_a_dry_run_misses_what_it_does_of_a_service(document: dict[str, Any], field: str, text: str) -> None:
    """Each passes it, and fails when the job is written."""
    assert refusal(document) == f"{field}: {text}"
    assert refusal(document, dry=True) == ""


def test_a_dry_run_overlooks_what_the_api_does() -> None:
    """A variable that is set twice is seen only when the job is really made."""
    document = job(container={"env": [{"name": "A"}, {"name": "A"}]})
    assert refusal(document) == "template.template.containers[0].env: duplicate value: A"
    assert not refusal(document, dry=True)


def test_what_gcloud_made_of_the_codelabs_job() -> None:
    """Refused for two reasons: redundancy, which jobs of today must switch off, and the bucket, which the sandbox can't mount."""
    with pytest.raises(ApiError) as refused:
        check(json.loads(GOLDEN.read_text()), "finetune", dry=False)
    fields = [row["field"] for row in refused.value.details[0]["fieldViolations"]]
    assert fields == ["template.template.gpu_zonal_redundancy_disabled", "template.template.volumes"]
