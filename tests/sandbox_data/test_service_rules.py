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
from tests.sandbox_data import illegal
from tests.sandbox_data.illegal import LIMITS, C

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


@pytest.mark.parametrize(("changes", "field", "text"), illegal.REFUSED)
def test_an_illegal_service_is_refused_in_cloud_runs_words(changes, field, text):
    """Each rule alone: its field and the whole sentence, in the message and as a violation."""
    assert refusal(service()) == ""
    assert refusal(service(**changes)) == f"{field}: {text}"


@pytest.mark.parametrize(("changes", "field", "text"), illegal.MISSED)
def test_validate_only_misses_what_a_real_deploy_refuses(changes, field, text):
    """As a comparison with the live API found: each of these passes a dry run, and fails when the service is written."""

    def told(*, dry: bool) -> list[dict[str, str]]:
        try:
            check(service(**changes), "s", dry=dry)
        except ApiError as error:
            rows: list[dict[str, str]] = error.details[0]["fieldViolations"]
            return rows
        return []

    assert {"field": field, "description": text} in told(dry=False)
    assert field not in {row["field"] for row in told(dry=True) if row["description"] == text}


@pytest.mark.parametrize(
    "changes",
    [
        {f"{C}startupProbe__failureThreshold": 900},  # times 2 s
        {f"{C}startupProbe": {"tcpSocket": {}, "initialDelaySeconds": 240, "periodSeconds": 1, "failureThreshold": 1800}},
        {f"{C}startupProbe": {"tcpSocket": {}, "timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 7}},
        {f"{C}livenessProbe": {"httpGet": {}, "timeoutSeconds": 3600, "periodSeconds": 3600}},
        {f"{C}readinessProbe": {"httpGet": {}, "timeoutSeconds": 300, "periodSeconds": 300}},
        {"maxInstanceRequestConcurrency": 1000, "timeout": "3600s"},
        {f"{C}ports": [{"containerPort": 65535}]},
        {"annotations": {"example.com/x": "y"}, "labels": {"x": "y"}},
        {"vpcAccess": {"networkInterfaces": [{}]}},
    ],
)
def test_the_last_legal_value_of_each_range_is_taken(changes):
    """One more is refused above; a failure threshold has no bound but the whole time."""
    assert refusal(service(**changes)) == ""


def test_a_cpu_service_has_600_seconds():
    """Without a GPU the startup budget is a third."""
    plain = {f"{LIMITS}": {"cpu": "1", "memory": "1Gi"}, "nodeSelector": {}, "gpuZonalRedundancyDisabled": None}
    assert refusal(service(**plain)) == ""
    assert refusal(service(**plain, **{f"{C}startupProbe__failureThreshold": 301})) == (
        "template.containers[0].startup_probe: failure_threshold * period_seconds must be less than or equal to 600."
    )


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


def test_a_folder_that_only_begins_like_a_forbidden_one_takes_a_mount():
    """/dev, /proc and /sys are forbidden, /devices is not."""
    volume = {"name": "m", "secret": {"secret": "s"}}
    assert refusal(service(**illegal.mounted("/devices") | {"volumes": [volume]})) == ""


def test_names_and_traffic():
    """A service id has at most 49 characters, with a tag of its traffic 46; percentages sum up to 100."""

    def told(document: dict[str, Any], name: str) -> str:
        with pytest.raises(ApiError) as refused:
            check(document, name, dry=True)
        return refused.value.message

    for name in ("a" * 50, "A", "-a", "a-", "1a"):
        assert told(service(), name) == (
            "service_id: only lowercase, digits, and hyphens; must begin with letter, and cannot end with hyphen; "
            "must be less than 50 characters."
        )
    check(service(), "a" * 49, dry=True)
    assert told({**service(), "traffic": [{"percent": 50}]}, "s") == "traffic: Traffic percent must sum to 100."
    tagged, name = {**service(), "traffic": [{"percent": 100, "tag": "blue"}]}, "a" * 43
    check(tagged, name[1:], dry=True)
    assert told(tagged, name) == (
        f"spec.traffic.tag: traffic tag 'blue' and service name '{name}' together are too long. Combined traffic tag and service "
        "name cannot exceed 46 characters."
    )


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
