"""What Cloud Run refuses in a job before anything starts. Knows no state.

Documents are v2 JSON (lowerCamelCase, defaults absent). What is refused: source: Cloud Run's pages and a conformance suite that
compares a rule table with the live API (2026); the sentences and field paths are a guess where they are not those of services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from gemmactl.sandbox import container_rules as shared
from gemmactl.sandbox.container_rules import Finding, seconds, violation
from gemmactl.sandbox.late_rules import late
from gemmactl.sandbox.probe_rules import probes
from gemmactl.sandbox.resource_rules import has_gpu, resources

Json = dict[str, Any]
LONGEST: Final = 168 * 3600
"""Seconds of one attempt. Source: Cloud Run's page "Set task timeout for jobs"."""
LONGEST_GPU: Final = 3600
"""The same with a GPU: source: that page; a newer copy of it says 12 hours (preview), the conformance suite still one."""
MOST_RETRIES: Final = 10
MOST_TASKS: Final = 10_000
_RESERVED: Final = re.compile(r"CLOUD_RUN_.*|X_GOOGLE_.*")


def check(job: Json, job_id: str, *, dry: bool) -> None:
    """Raise what Cloud Run says to an illegal job; `dry` (validateOnly) skips what it doesn't look at then.

    Raises:
        ApiError: 400 with a BadRequest detail that names every violated field.
    """
    outer = job.get("template", {})
    task = outer.get("template", {})
    findings = [*shared.name("job_id", job_id), *_labels(job, outer), *_counts(outer)]
    for rule in (shared.containers, resources, shared.networks, _environment, _gpu, _attempts, _probes, shared.volumes):
        findings += _below(rule(task))
    if not dry:
        findings += _below(late(task))
    if findings:
        raise violation(findings)


def _below(findings: Iterator[Finding]) -> Iterator[Finding]:
    """A task's template is one level deeper than a revision's."""
    return ((f"template.{field}", text) for field, text in findings)


def _labels(job: Json, outer: Json) -> Iterator[Finding]:
    yield from shared.labels((("labels", job.get("labels", {})), ("template.labels", outer.get("labels", {}))))
    own = outer.get("annotations", {})
    yield from shared.system_annotations((("annotations", job.get("annotations", {})), ("template.annotations", own)))


def _counts(outer: Json) -> Iterator[Finding]:
    tasks, parallel = outer.get("taskCount", 1), outer.get("parallelism", 0)
    if not 1 <= tasks <= MOST_TASKS:
        yield "template.task_count", f"task_count must be between 1 and {MOST_TASKS}."  # guess
    if parallel < 0:
        yield "template.parallelism", "parallelism must be greater than or equal to 0."  # guess


def _environment(task: Json) -> Iterator[Finding]:
    return shared.environment(task, _RESERVED)


def _gpu(task: Json) -> Iterator[Finding]:
    if task.get("executionEnvironment") == "EXECUTION_ENVIRONMENT_GEN1":
        yield "template.execution_environment", "Jobs only support the second generation execution environment."  # guess
    if has_gpu(task) and not task.get("gpuZonalRedundancyDisabled"):
        # guess
        text = "GPU zonal redundancy must be disabled in order to set GPU requirements for a job."
        yield "template.gpu_zonal_redundancy_disabled", text


def _attempts(task: Json) -> Iterator[Finding]:
    if not 0 <= task.get("maxRetries", 3) <= MOST_RETRIES:
        yield "template.max_retries", f"max_retries must be between 0 and {MOST_RETRIES}."  # guess
    timeout, most = seconds(task.get("timeout", "600s")), LONGEST_GPU if has_gpu(task) else LONGEST
    if timeout <= 0:
        yield "template.timeout", "timeout must be greater than 0 seconds."  # guess
    elif timeout > most:
        # the end is source: the conformance suite's fragment; the rest a guess
        when = " when using GPU" if has_gpu(task) else ""
        yield "template.timeout", f"timeout must be less than or equal to {most} seconds{when}."


def _probes(task: Json) -> Iterator[Finding]:
    for number, container in enumerate(task.get("containers", [])):
        for kind, spelled in (("livenessProbe", "liveness_probe"), ("readinessProbe", "readiness_probe")):
            if kind in container:
                yield f"template.containers[{number}].{spelled}", f"{spelled} is not supported for jobs."  # guess
    yield from probes(task)
