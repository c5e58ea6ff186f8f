"""The live check of the GPU quota: what other services and runs of jobs take of it."""

from __future__ import annotations

from dataclasses import replace

from gemmactl.resources import quota
from tests.doctor.test_checks import WISH, cloud_with, ends
from tests.fakes.cloud import FakeCloud
from tests.fakes.executions import Ending
from tests.fakes.refusal import refusal


def test_other_services_take_part_of_the_quota() -> None:
    """Their minimum instances are gone for sure; what they may scale up to is shared."""

    def other(least: int, most: int) -> dict[str, object]:
        boxes = [{"resources": {"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}}}]
        scaling = {"minInstanceCount": least, "maxInstanceCount": most}
        template = {"containers": boxes, "scaling": scaling, "nodeSelector": {"accelerator": "nvidia-l4"}}
        name = "projects/demo-proj/locations/us-central1/services/other"
        return {"services": {name: {"name": name, "template": {**template, "gpuZonalRedundancyDisabled": True}}}}

    shared, full = ends(cloud_with(**other(0, 3))), ends(cloud_with(**other(3, 3)))
    assert [f.state for f in shared["quota"].findings] == ["advice"]
    assert [(f.code, f.state) for f in full["quota"].findings] == [("gpu-quota-in-use", "problem")]
    assert "other" in full["quota"].findings[0].cause
    assert "quota" not in ends(cloud_with(**other(0, 2)))


def test_more_instances_than_the_quota_allows_are_refused_whoever_else_is_there() -> None:
    """Cloud Run counts the maximum; the way out names the number that fits."""
    cloud = cloud_with()
    cloud.state.limits[quota.GPU["nvidia-l4"][0], "us-central1"] = 2.0
    (found,) = ends(cloud, replace(WISH, max_instances=3))["quota"].findings
    assert (found.code, found.state) == ("quota-too-small", "problem")
    assert "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion: 3 are asked for, 2 allowed" in found.cause
    assert "Use --max-instances 2" in found.remedy
    assert "quota" not in ends(cloud, replace(WISH, max_instances=2))


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
    for idle in (with_job("nvidia-l4", over=True), with_job("nvidia-rtx-pro-6000"), with_job("")):
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


def test_a_region_without_a_told_limit_is_unknown() -> None:
    """Never ok: the quota is there for other regions, and none is told for this one."""
    cloud = cloud_with()
    cloud.state.limits = {key: value for key, value in cloud.state.limits.items() if "us-central1" not in str(key)}
    verdict = ends(cloud)["quota"]
    assert (verdict.end, verdict.findings) == ("unknown", ())
    assert verdict.seen.startswith("unknown: no limit of NvidiaL4")
