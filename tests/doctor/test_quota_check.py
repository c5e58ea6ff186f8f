"""The live check of the quotas of GPUs, CPU and memory: the wish itself, other services, runs of jobs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gemmactl.resources.quota import CPU, GPU, MEMORY
from tests.doctor.test_checks import WISH, cloud_with, ends
from tests.fakes.cloud import FakeCloud, fresh_limits
from tests.fakes.executions import Ending
from tests.fakes.refusal import refusal

GIB = 2.0**30


def test_other_services_take_part_of_the_quota() -> None:
    """Their minimum instances are gone for sure; what they may scale up to is shared."""

    def other(least: int, most: int) -> dict[str, object]:
        boxes = [{"resources": {"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}}}]
        scaling = {"minInstanceCount": least, "maxInstanceCount": most}
        template = {"containers": boxes, "scaling": scaling, "nodeSelector": {"accelerator": "nvidia-l4"}}
        name = "projects/demo-proj/locations/us-central1/services/other"
        return {"services": {name: {"name": name, "template": {**template, "gpuZonalRedundancyDisabled": True}}}}

    limits = {at: 10 * value if "Alloc" in at[0] and "Gpu" not in at[0] else value for at, value in fresh_limits().items()}
    shared, full = (ends(cloud_with(**other(least, 3), limits=limits)) for least in (0, 3))
    assert [f.state for f in shared["quota"].findings] == ["advice"]
    assert [(f.code, f.state) for f in full["quota"].findings] == [("gpu-quota-in-use", "problem")]
    assert "other" in full["quota"].findings[0].cause
    assert "quota" not in ends(cloud_with(**other(0, 2), limits=limits))


def test_a_job_that_runs_takes_part_of_the_quota() -> None:
    """While its tasks have a GPU, and no longer; a job of another GPU, or none, takes nothing of it."""

    def with_job(gpu: str, *, over: bool = False) -> FakeCloud:
        limits = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}
        task: dict[str, object] = {"containers": [{"image": "x", "resources": {"limits": limits}}]}
        task |= {"nodeSelector": {"accelerator": gpu}} if gpu else {}
        cloud = cloud_with()
        cloud.ending = Ending(polls=-1)
        cloud.jobs.create("projects/demo-proj/locations/us-central1", "tune", {"template": {"taskCount": 3, "template": task}})
        run = cloud.jobs.started(cloud.jobs.run("projects/demo-proj/locations/us-central1/jobs/tune"))
        if over:
            cloud.jobs.end(run)
        return cloud

    full = ends(with_job("nvidia-l4"))["quota"].findings[0]
    assert (full.code, full.state) == ("gpu-quota-in-use", "problem")
    assert "tasks that run: tune-00001" in full.cause
    for idle in (with_job("nvidia-l4", over=True), with_job("")):
        assert "quota" not in ends(idle)


def test_jobs_that_may_not_be_seen_leave_the_quota_unknown() -> None:
    """Never ok; what the services alone take is told nevertheless."""
    cloud = cloud_with()

    def refuse(name: str) -> None:
        if name == "jobs.list":
            raise refusal(403, "denied", permission="run.jobs.list")

    cloud.before_call = refuse
    verdict = ends(cloud)["quota"]
    assert (verdict.end, verdict.permission) == ("unknown", "run.jobs.list")
    cloud.state.limits = dict.fromkeys(cloud.state.limits, 0)
    assert ends(cloud)["quota"].findings[0].code == "gpu-quota-none"


@pytest.mark.parametrize(
    ("quota_id", "value", "instances", "code", "words"),
    [
        (MEMORY, 16 * GIB, 1, "memory-quota", "16 GiB in all; this service may take 32 GiB (1 at a time)"),
        (MEMORY, 40 * GIB, 2, "memory-quota", "40 GiB in all; this service may take 64 GiB (2 at a time)"),
        (CPU, 10.0, 2, "cpu-quota", "10 in all; this service may take 16 (2 at a time)"),
        (GPU["nvidia-l4"][0], 1.0, 2, "gpu-quota-small", "1 in all; this service may take 2 (2 at a time)"),
    ],
)
def test_a_service_that_is_more_than_the_quota(quota_id: str, value: float, instances: int, code: str, words: str) -> None:
    """The product of one instance and their most is what Cloud Run refuses: a problem before, advice for one that serves."""
    plenty = dict.fromkeys(fresh_limits(), math.inf)
    cloud = cloud_with(limits=plenty | {(quota_id, "us-central1"): value})
    wish = replace(WISH, max_instances=instances)
    (found,) = ends(cloud, wish)["quota"].findings
    assert (found.code, found.state) == (code, "problem")
    assert found.cause == f"{quota_id}: {words}."
    assert [f.state for f in ends(cloud, wish, live=True)["quota"].findings] == ["advice"]
    cloud.state.limits[quota_id, "us-central1"] = math.inf
    assert "quota" not in ends(cloud, wish)


def test_memory_that_others_hold() -> None:
    """GPUs alone are not all that an instance takes: three warm services of another size leave no memory for it."""
    boxes = [{"resources": {"limits": {"cpu": "1", "memory": "10Gi"}}}]
    name = "projects/demo-proj/locations/us-central1/services/other"
    cloud = cloud_with(services={name: {"name": name, "template": {"containers": boxes, "scaling": {"minInstanceCount": 1}}}})
    (found,) = ends(cloud)["quota"].findings
    assert (found.code, found.state, found.subcategory) == ("gpu-quota-in-use", "problem", "memory")
    assert "others keep 10 GiB of 40 GiB" in found.cause


def test_a_region_without_a_row_is_unknown() -> None:
    """What the API does not tell is not fine."""
    cloud = cloud_with(limits={})
    verdict = ends(cloud)["quota"]
    assert (verdict.end, verdict.seen.startswith("unknown: no limit is told for us-central1")) == ("unknown", True)
