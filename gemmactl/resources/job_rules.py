"""What Cloud Run refuses of a job with a GPU, and what it does not look at under validate_only. Pure; knows no cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gemmactl.limits import RETRIES_MOST
from gemmactl.resources import service_rules

if TYPE_CHECKING:
    from gemmactl.resources.job import Job

TASKS_MOST: Final = 10_000  # source: google.cloud.run.v2.ExecutionTemplate


def violations(job: Job) -> tuple[str, ...]:
    """Each rule that the job breaks, in words that name the field. How long a GPU task may take is left to the server to say."""
    return tuple(_of(job))


def _of(job: Job) -> Iterator[str]:
    yield from service_rules.parts(job.gpu_type, job.containers or (), job.volumes or ())
    if job.gpu_type and job.gpu_zonal_redundancy_disabled is False:
        # source: Cloud Run's page on GPUs for jobs
        yield "a job with a GPU has no zonal redundancy: it must be disabled"
    if job.max_retries is not None and not 0 <= job.max_retries <= RETRIES_MOST:
        yield f"max retries {job.max_retries} is not between 0 and {RETRIES_MOST}"
    if job.task_count is not None and not 1 <= job.task_count <= TASKS_MOST:
        yield f"task count {job.task_count} is not between 1 and {TASKS_MOST}"
