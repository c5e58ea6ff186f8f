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
        cause="3600 s is also the most a GPU task may have; a retry starts from the beginning, unless the program saves.",
        remedy=(
            "Save checkpoints to the bucket before that and go on from them in the next attempt, as `gemmactl finetune run` does"
            " by itself; after its last attempt `gemmactl finetune resume NAME` goes on."
        ),
        patterns=(
            r"reached the maximum timeout of \d+ seconds",
            r"Execution \S{1,120} failed: Task timed out",
            r"Task \S{1,120} (?:has )?exceeded its (?:configured )?timeout",
            r"The configured timeout was reached",
            r"Terminating task because it has reached the maximum timeout",
        ),
        not_fix=("a longer --task-timeout for a GPU job: the cap is one hour", "any IAM grant"),
    ),
    Row(
        code="task-timeout-too-long",
        category="jobs",
        subcategory="limit",
        title="Cloud Run does not take so long a time limit for a task with a GPU",
        cause="An attempt of a GPU task may take one hour (12 in a preview, says a newer page); without a GPU a week.",
        remedy="Keep 3600 s and let retries go on from checkpoints: `gemmactl finetune run --retries 10` has eleven attempts.",
        patterns=(
            r"timeout.{0,80}(?:exceeds?|may not exceed|must be|maximum|at most).{0,60}when using GPU",
            r"[Tt]ask timeout.{0,60}(?:exceeds|may not exceed|must (?:be|not)|maximum)",
        ),
        commands=("gcloud run jobs update {job} --task-timeout=3600 --region={region} --project={project}",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="job-failed",
        category="jobs",
        subcategory="exit",
        title="A task of the job ended with an error",
        cause="The container stopped with a code other than 0; its log says why.",
        remedy="Read the log of the execution; of a fine-tune: `gemmactl finetune logs NAME`.",
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
