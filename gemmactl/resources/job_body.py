"""A Cloud Run job <-> v2 JSON, both ways, in the words of service_body. Knows no cloud and makes no decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmactl.resources import mark, service_body
from gemmactl.resources.service_merge import merge
from gemmactl.resources.service_types import Container, Volume, Vpc

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Json
    from gemmactl.resources.job import Job

SETTABLE: Final = (
    "name",
    "etag",
    "labels",
    "annotations",
    "client",
    "clientVersion",
    "launchStage",
    "binaryAuthorization",
    "template",
)
"""Fields of google.cloud.run.v2.Job that a caller may set, without the tokens that start an execution."""


def job_json(job: Job) -> Json:
    """The wishes, false and 0 included."""
    some = service_body.some
    task = some(
        containers=None if job.containers is None else [service_body.container_json(c) for c in job.containers],
        volumes=None if job.volumes is None else [service_body.volume_json(v) for v in job.volumes],
        maxRetries=job.max_retries,
        timeout=None if job.timeout is None else f"{job.timeout}s",
        serviceAccount=job.service_account,
        executionEnvironment=job.execution_environment,
        encryptionKey=job.encryption_key,
        vpcAccess=service_body.vpc_json(job.vpc),
        nodeSelector=None if job.gpu_type is None else {"accelerator": job.gpu_type},
        gpuZonalRedundancyDisabled=job.gpu_zonal_redundancy_disabled,
    )
    return some(
        labels=dict(job.labels) if job.labels else None,
        annotations=dict(job.annotations) if job.annotations else None,
        launchStage=job.launch_stage,
        template=some(parallelism=job.parallelism, taskCount=job.task_count, template=task),
    )


def sent(body: Json) -> Json:
    """What travels: nothing that proto3 leaves out, but 0 retries, which are a choice and not the default of 3."""
    lean: Json = service_body.lean(body)
    retries = body.get("template", {}).get("template", {}).get("maxRetries")
    if retries == 0:
        lean["template"]["template"]["maxRetries"] = 0
    return lean


def laid_over(live: Json, wish: Json) -> Json:
    """The live job with the wish on top: a PATCH of a job has no mask, so what it leaves out is gone."""
    return {key: value for key, value in merge(live, wish).items() if key in SETTABLE}


def parts_of(body: Json, labels: mark.Pairs | None, annotations: mark.Pairs | None) -> dict[str, Any]:
    """Fields of a live job. Labels and annotations are those that the wish speaks of; everything else is complete."""
    execution: Json = body.get("template", {})
    task: Json = execution.get("template", {})
    containers: tuple[Container, ...] = tuple(service_body.container_of(c) for c in task.get("containers", []))
    volumes: tuple[Volume, ...] = tuple(service_body.volume_of(v) for v in task.get("volumes", []))
    vpc: Vpc | None = service_body.vpc_of(task.get("vpcAccess"))
    return {
        "containers": containers,
        "volumes": volumes,
        "parallelism": execution.get("parallelism", 0),
        "task_count": execution.get("taskCount", 1),
        # source: google.cloud.run.v2.TaskTemplate: 3 where it is left out
        "max_retries": task.get("maxRetries", 3),
        "timeout": service_body.seconds(task.get("timeout")),
        "service_account": task.get("serviceAccount"),
        "gpu_type": task.get("nodeSelector", {}).get("accelerator"),
        "gpu_zonal_redundancy_disabled": bool(task.get("gpuZonalRedundancyDisabled")),
        "execution_environment": task.get("executionEnvironment"),
        "encryption_key": task.get("encryptionKey"),
        "vpc": vpc,
        "labels": mark.wished(labels, body.get("labels", {})),
        "annotations": mark.wished(annotations, body.get("annotations", {})),
        "launch_stage": body.get("launchStage"),
    }
