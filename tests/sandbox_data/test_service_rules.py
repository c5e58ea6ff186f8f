"""What Cloud Run refuses before anything starts, sentence by sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from gemmactl.sandbox.quota import Quota, check_quota
from gemmactl.sandbox.resource_rules import quantity
from gemmactl.sandbox.service_defaults import with_defaults
from gemmactl.sandbox.service_rules import check
from gemmactl.sandbox.wire import ApiError

GOLDEN = Path(__file__).parent / "golden"


def service(**changes: Any) -> dict[str, Any]:
    """A legal GPU service; `a__b__0=value` sets template.a.b[0], None removes."""
    out: dict[str, Any] = {
        "template": {
            "containers": [
                {
                    "image": "us-central1-docker.pkg.dev/p/r/i:t",
                    "resources": {"limits": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}, "startupCpuBoost": True},
                    "startupProbe": {
                        "httpGet": {"path": "/ready"},
                        "periodSeconds": 2,
                        "timeoutSeconds": 2,
                        "failureThreshold": 300,
                    },
                }
            ],
            "nodeSelector": {"accelerator": "nvidia-l4"},
            "gpuZonalRedundancyDisabled": True,
            "scaling": {"maxInstanceCount": 1},
        }
    }
    for path, value in changes.items():
        at: Any = out["template"]
        *way, last = path.split("__")
        for part in way:
            at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
        if value is None:
            del at[last]
        else:
            at[last] = value
    return out


def refusal(document: dict[str, Any], *, dry: bool = False) -> str:
    """The message, or "" when it is accepted."""
    try:
        check(document, "s", dry=dry)
        check_quota(with_defaults(document, "x")["template"], Quota())
    except ApiError as error:
        violation = error.details[0]["fieldViolations"][0]
        return error.message if error.code == 400 and violation["description"] in error.message else f"malformed: {error.message}"
    return ""


C = "containers__0__"
LIMITS = f"{C}resources__limits"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"containers": []}, "template.containers: at least one container is required"),
        (
            {f"{LIMITS}": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}},
            "CPU must be at least 4; memory must be at least 16Gi",
        ),
        (
            {f"{LIMITS}": {"cpu": "4", "memory": "32Gi", "nvidia.com/gpu": "1"}},
            "For 4.0 CPU, memory must be between 2Gi and 16Gi inclusive",
        ),
        (
            {f"{LIMITS}": {"cpu": "3", "memory": "16Gi"}, "nodeSelector": {}, "gpuZonalRedundancyDisabled": None},
            "Must be equal to one of",
        ),
        ({f"{LIMITS}": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}}, "GPU can only be set to 1 on one container"),
        ({f"{LIMITS}": {"cpu": "x", "memory": "32Gi"}}, "Invalid value x"),
        ({"nodeSelector": {"accelerator": "nvidia-t4"}}, "Accelerator nvidia-t4 is not supported"),
        ({"nodeSelector": {"accelerator": "nvidia-rtx-pro-6000"}}, "Must be equal to one of 20.0, 22.0"),
        (
            {
                "nodeSelector": {"accelerator": "nvidia-rtx-pro-6000"},
                f"{LIMITS}": {"cpu": "20", "memory": "64Gi", "nvidia.com/gpu": "1"},
            },
            "memory must be between 80Gi",
        ),
        ({f"{C}resources__cpuIdle": True}, "CPU must be always allocated"),
        ({"executionEnvironment": "EXECUTION_ENVIRONMENT_GEN1"}, "Execution environment must be set to gen2 in order to set GPU"),
        ({f"{LIMITS}": {"cpu": "1", "memory": "1Gi"}, "nodeSelector": {}}, "GPU zonal redundancy can only be set"),
        ({"maxInstanceRequestConcurrency": 1001}, "concurrency must be between 0 and 1000"),
        ({"timeout": "3601s"}, "maximum allowed time is one hour"),
        ({f"{C}startupProbe__periodSeconds": 241}, "period_seconds must be a number between 0 and 240."),
        ({f"{C}startupProbe__initialDelaySeconds": 300}, "initial_delay_seconds must be a number between 0 and 240."),
        ({f"{C}startupProbe__timeoutSeconds": 3}, "timeout_seconds must be less than or equal to period_seconds"),
        ({f"{C}startupProbe__failureThreshold": 901}, "failure_threshold * period_seconds must be less than or equal to 1800"),
        ({f"{C}startupProbe": {"periodSeconds": 1}}, "exactly one of http_get, tcp_socket and grpc"),
        ({f"{C}livenessProbe": {"tcpSocket": {}}}, "tcp_socket is not supported for this probe"),
        ({f"{C}ports": [{"containerPort": 70000}]}, "port must be between 1 and 65535"),
        ({f"{C}env": [{"name": "PORT", "value": "1"}, {"name": "K_X"}]}, "reserved env names were provided: PORT, K_X"),
        ({f"{C}env": [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "a/b"}}}]}, "invalid secret name"),
        (
            {f"{C}env": [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "a", "version": "1.2"}}}]},
            "invalid secret version",
        ),
        ({f"{C}volumeMounts": [{"name": "m", "mountPath": "/mnt"}]}, "volume m is not defined"),
        (
            {"volumes": [{"name": "m"}], f"{C}volumeMounts": [{"name": "m", "mountPath": "/proc/x"}]},
            "mounting under /proc/x is not allowed",
        ),
        ({f"{C}readinessProbe": {"httpGet": {}, "timeoutSeconds": 301}}, "timeout_seconds must be a number between 0 and 300."),
        ({f"{C}livenessProbe": {"httpGet": {}, "periodSeconds": 3601}}, "period_seconds must be a number between 0 and 3600."),
        ({f"{C}startupProbe__timeoutSeconds": 241}, "timeout_seconds must be a number between 0 and 240."),
        ({f"{C}startupProbe__failureThreshold": -1}, "failure_threshold must be greater than or equal to 1."),
        ({f"{C}startupProbe": {"httpGet": {"path": "ready"}}}, "http_get.path must begin with /"),
        (
            {"volumes": [{"name": "m"}], f"{C}volumeMounts": [{"name": "m", "mountPath": "mnt"}]},
            "should be a valid unix absolute path",
        ),
        ({"volumes": [{"name": "m"}]}, "the sandbox mounts secrets alone"),
        ({"labels": {"run.googleapis.com/x": "y"}}, "system annotations are not supported"),
        ({"scaling": {"minInstanceCount": 2, "maxInstanceCount": 1}}, "min_instance_count must be less than or equal to"),
        ({"vpcAccess": {"networkInterfaces": [{}, {}]}}, "at most 1 network interface"),
        ({"revision": "other-1"}, "must be prefixed by the service name"),
        ({"scaling": {"maxInstanceCount": 4}}, "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion requested: 4 allowed: 3"),
        ({"scaling": {}}, "Max instances must be set to 3 or fewer in order to set GPU requirements."),
        ({"scaling": {"maxInstanceCount": 2}}, "MemAllocPerProjectRegion requested: 68719476736 allowed: 42949672960"),
        ({"gpuZonalRedundancyDisabled": None}, "You do not have quota for using GPUs with zonal redundancy."),
    ],
)
def test_an_illegal_service_is_refused_in_cloud_runs_words(changes, words):
    """Each rule alone: its sentence, in the message and as a field violation."""
    assert refusal(service()) == ""
    assert words in refusal(service(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({f"{C}startupProbe__timeoutSeconds": 3}, "timeout_seconds must be less than or equal to period_seconds"),
        ({f"{C}startupProbe__failureThreshold": 901}, "failure_threshold * period_seconds must be less than or equal to 1800"),
        ({f"{C}env": [{"name": "A", "value": "1"}, {"name": "A"}]}, "duplicate value: A"),
        (
            {
                "volumes": [{"name": "m"}],
                f"{C}volumeMounts": [{"name": "m", "mountPath": "/mnt"}, {"name": "m", "mountPath": "/mnt"}],
            },
            "duplicate value: /mnt",
        ),
        ({"volumes": [{"name": "a b"}]}, "a b should only have alphanumeric characters, hyphens and underscores"),
        ({"nodeSelector": {"accelerator": "nvidia-t4"}}, "Accelerator nvidia-t4 is not supported"),
        ({f"{C}env": [{"name": "A", "valueSource": {"secretKeyRef": {}}}]}, "secret is required"),
        ({f"{C}workingDir": "app"}, "should be a valid unix absolute path"),
    ],
)
def test_validate_only_misses_what_a_real_deploy_refuses(changes, words):
    """As a comparison with the live API found: each of these passes a dry run, and fails when the service is written."""

    def told(*, dry: bool) -> str:
        try:
            check(service(**changes), "s", dry=dry)
        except ApiError as error:
            return json.dumps(error.details)
        return ""

    assert words in told(dry=False)
    assert words not in told(dry=True)


def test_a_cpu_service_has_600_seconds():
    """Without a GPU the startup budget is a third."""
    plain = {f"{LIMITS}": {"cpu": "1", "memory": "1Gi"}, "nodeSelector": {}, "gpuZonalRedundancyDisabled": None}
    assert refusal(service(**plain)) == ""
    assert "less than or equal to 600" in refusal(service(**plain, **{f"{C}startupProbe__failureThreshold": 301}))


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda f: f.stem)
def test_the_seeds_own_bodies_are_legal_but_for_quota_and_patience(file):
    """What gcloud sent passes every rule of validateOnly; a fresh project has no quota for GPUs with zonal redundancy."""
    body = json.loads(file.read_text())
    check(body, "gemma3-trans-ft-service", dry=True)
    with pytest.raises(ApiError, match="You do not have quota for using GPUs with zonal redundancy"):
        check_quota(with_defaults(body, "x")["template"], Quota())
    fixed = copy.deepcopy(body)
    fixed["template"] |= {"gpuZonalRedundancyDisabled": True, "scaling": {"maxInstanceCount": 1}}
    check_quota(with_defaults(fixed, "x")["template"], Quota())


def test_names_and_traffic():
    """A service id has at most 49 characters; percentages sum up to 100."""
    for name in ("a" * 50, "A", "-a", "a-", "1a"):
        with pytest.raises(ApiError, match="only lowercase, digits, and hyphens"):
            check(service(), name, dry=True)
    check(service(), "a" * 49, dry=True)
    with pytest.raises(ApiError, match="must sum to 100"):
        check({**service(), "traffic": [{"percent": 50}]}, "s", dry=True)


def test_the_server_tells_its_defaults():
    """Concurrency 80, 300 s, GEN2, the default account, a TCP probe on the container's port, 1 CPU, 512 MiB."""
    out = with_defaults({"template": {"containers": [{"image": "i", "ports": [{"containerPort": 9000}]}]}}, "compute@x")
    template, (container,) = out["template"], out["template"]["containers"]
    assert (template["maxInstanceRequestConcurrency"], template["timeout"], template["serviceAccount"]) == (
        80,
        "300s",
        "compute@x",
    )
    assert template["executionEnvironment"] == "EXECUTION_ENVIRONMENT_GEN2"
    assert container["startupProbe"] == {
        "timeoutSeconds": 240,
        "periodSeconds": 240,
        "failureThreshold": 1,
        "tcpSocket": {"port": 9000},
    }
    assert container["resources"]["limits"] == {"cpu": "1000m", "memory": "512Mi"}
    assert out["traffic"] == [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    assert with_defaults(out, "other") == out


def test_quantities():
    """Kubernetes units, binary and decimal."""
    assert [quantity(t) for t in ("8", "500m", "1Ki", "1k", "2Gi")] == [8, 0.5, 1024, 1000, 2 * 1024**3]
    with pytest.raises(ValueError, match="8GB"):
        quantity("8GB")
