"""Cloud Run jobs: limits of time, tasks that failed."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

ROWS: Final = (
    Row(
        code="task-timeout",
        category="jobs",
        subcategory="timeout",
        title="The task reached its time limit",
        cause="3600 s is also the most a GPU task may have; a retry starts from the beginning.",
        remedy="Make the run shorter, save checkpoints to the bucket and go on from them in the next execution.",
        patterns=(
            r"reached the maximum timeout of \d+ seconds",
            r"Execution \S{1,120} failed: Task timed out",
            r"Task \S{1,120} (?:has )?exceeded its (?:configured )?timeout",
            r"The configured timeout was reached",
            r"[Tt]ask timeout.{0,60}(?:exceeds|may not exceed|must (?:be|not)|maximum)",
            r"Terminating task because it has reached the maximum timeout",
        ),
        not_fix=("a longer --task-timeout for a GPU job: the cap is one hour", "any IAM grant"),
    ),
    Row(
        code="job-failed",
        category="jobs",
        subcategory="exit",
        title="A task of the job ended with an error",
        cause="The container stopped with a code other than 0; its log says why.",
        remedy="Read the log of the execution.",
        patterns=(
            r"NonZeroExitCode",
            r"Task (?:index )?\S{1,80} failed with exit code",
            r"(?:exceeded the )?maximum (?:number of )?retries exceeded",
            r"The container exited with an error",
            r"Task \S{1,120} failed with message",
            r"execution \S{1,120} has failed to complete",
            r"\(gcloud\.[\w.]*run\.jobs\.(?:execute|deploy)\) The execution failed",
        ),
        fix_kind="diagnose",
        commands=("gcloud run jobs executions list --job={job} --region={region} --project={project}",),
        rank=CONSEQUENCE,
        confidence=0.8,
        not_fix=("any IAM grant",),
    ),
)
