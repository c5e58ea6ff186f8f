"""What services take of Cloud Run's quotas, at least and at most."""

from __future__ import annotations

from typing import Any

import pytest

from gemmactl.limits import GPUS
from gemmactl.resources.quantity import amount
from gemmactl.resources.quota import CPU, GPU, MEMORY, instances, tasks, uses

L4, L4_REDUNDANT = GPU["nvidia-l4"]
GIB = 2**30


def service(name: str = "s", *, gpu: str = "nvidia-l4", redundant: bool = False, **scaling: int) -> dict[str, Any]:
    limits = {"cpu": "8", "memory": "32Gi", **({"nvidia.com/gpu": "1"} if gpu else {})}
    template: dict[str, Any] = {"scaling": scaling, "containers": [{"resources": {"limits": limits}}]}
    if gpu:
        template |= {"nodeSelector": {"accelerator": gpu}, **({} if redundant else {"gpuZonalRedundancyDisabled": True})}
    return {"name": f"projects/p/locations/r/services/{name}", "template": template}


def test_a_gpu_service_claims_its_maximum_and_holds_its_minimum() -> None:
    """GPUs of the kind that it uses, CPU and memory, times instances; and its name."""
    found = uses([service("gemma", minInstanceCount=1, maxInstanceCount=3)])
    assert {k: (v.held, v.claimed) for k, v in found.items() if v.claimed} == {
        L4: (1, 3),
        CPU: (8, 24),
        MEMORY: (32 * GIB, 96 * GIB),
    }
    assert found[L4].names == ("gemma",)
    assert found[L4_REDUNDANT].names == ()


def test_services_add_up_by_kind() -> None:
    """With redundancy another quota is taken; a service without GPU takes none; a sidecar counts."""
    plain = service("web", gpu="", maxInstanceCount=2)
    plain["template"]["containers"].append({"resources": {"limits": {"cpu": "500m"}}})
    found = uses([service("a", maxInstanceCount=1), service("b", redundant=True, maxInstanceCount=2), plain])
    assert (found[L4].claimed, found[L4_REDUNDANT].claimed, found[CPU].claimed) == (1, 2, 8 + 16 + 17)
    assert found[MEMORY].claimed == (32 + 64 + 64) * GIB + 2 * 512 * 2**20
    assert found[CPU].names == ("a", "b", "web")


@pytest.mark.parametrize(
    ("own", "revision", "expected"),
    [
        ({}, {}, (0, 100)),
        ({}, {"maxInstanceCount": 3}, (0, 3)),
        ({"maxInstanceCount": 2}, {"maxInstanceCount": 3}, (0, 2)),
        ({"minInstanceCount": 1}, {"maxInstanceCount": 3}, (1, 3)),
        ({}, {"minInstanceCount": 2, "maxInstanceCount": 3}, (2, 3)),
        ({"scalingMode": "MANUAL", "manualInstanceCount": 2}, {"maxInstanceCount": 9}, (2, 2)),
        ({"scalingMode": "MANUAL"}, {}, (0, 0)),
    ],
)
def test_instances(own: dict[str, Any], revision: dict[str, Any], expected: tuple[int, int]) -> None:
    """The service's own limits bind its revisions'; without any the API's default counts; manual scaling is exact."""
    assert instances({"scaling": own, "template": {"scaling": revision}}) == expected


def test_an_unknown_gpu_is_no_quota_of_ours() -> None:
    """A service with an accelerator that has no row still takes CPU and memory."""
    found = uses([service(gpu="nvidia-next", maxInstanceCount=1)])
    assert {k for k, v in found.items() if v.claimed} == {CPU, MEMORY}


@pytest.mark.parametrize(
    ("text", "number"), [("8", 8), ("500m", 0.5), ("1.5", 1.5), ("32Gi", 32 * GIB), ("512Mi", 512 * 2**20), ("1G", 1e9), ("x", 0)]
)
def test_amounts(text: str, number: float) -> None:
    """Quantities as numbers; what is none counts nothing."""
    assert amount(text) == number


def test_every_gpu_has_its_quotas() -> None:
    """What can be deployed has a limit that can be looked up."""
    assert set(GPU) == set(GPUS)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"taskCount": 1}, (0, 1)),
        ({"taskCount": 1, "runningCount": 1}, (1, 1)),
        ({"taskCount": 5, "parallelism": 2, "runningCount": 2}, (2, 2)),
        ({"taskCount": 5, "succeededCount": 3, "failedCount": 1, "runningCount": 1}, (1, 1)),
        ({"taskCount": 2, "runningCount": 2, "completionTime": "2026-01-01T00:00:00Z"}, (0, 0)),
    ],
)
def test_tasks(fields: dict[str, Any], expected: tuple[int, int]) -> None:
    """Those that run now, and those that still may at a time; an execution that is over has none."""
    assert tasks(fields) == expected


def test_runs_of_jobs_add_up_with_services() -> None:
    """A job has no zonal redundancy: its GPU is of the quota without."""
    run = {**service("tune-1", redundant=True), "taskCount": 1, "runningCount": 1}
    found = uses([service("a", maxInstanceCount=1)], [run])
    assert (found[L4].held, found[L4].claimed, found[L4].names, found[L4_REDUNDANT].claimed) == (1, 2, ("a", "tune-1"), 0)
