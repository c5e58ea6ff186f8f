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
            r"\b[Tt]ask(?: \S{1,120}| attempt)? (?:has )?(?:timed out|did not (?:finish|complete) within)",
            (
                r"(?:[Tt]ask|[Aa]ttempt|[Ee]xecution|[Jj]ob)\b.{0,100}(?:exceeded|reached|over"
                r"|longer than) (?:the |its )?(?:\w{2,20} )?(?:task[- ])?(?:timeout|time limit|deadline"
                r"|maximum (?:run|execution) time)"
            ),
            r"terminated .{0,60}(?:task[- ]?timeout|timeoutSeconds)",
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
            (
                r"[Tt]ask[- _]?timeout\b.{0,80}(?:exceeds?|may not|must (?:be|not)|maximum|cannot|at most"
                r"|greater than|less than|between|invalid|not valid|out of range)"
            ),
            r"\btimeoutSeconds\b.{0,80}(?:exceeds?|may not|must|maximum|cannot|at most|out of range|invalid)",
            (
                r"(?:job|template)\.(?:template\.){0,3}timeout\b.{0,80}(?:exceeds?|may not|must|maximum|cannot"
                r"|at most|out of range|invalid)"
            ),
        ),
        commands=("gcloud run jobs update {job} --task-timeout=3600 --region={region} --project={project}",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="job-shape",
        category="jobs",
        subcategory="shape",
        title="Number of tasks, parallelism or retries can't be as asked",
        cause="Tasks are 1 to 10000, parallelism is not above them or above the quota, retries are 0 to 10.",
        remedy="Correct --tasks, --parallelism or --max-retries; a fine-tune is one task with many retries.",
        patterns=(
            r"\bparallelism\b.{0,100}(?:must|cannot|can't|may not|should|exceeds?|invalid|greater|less|at most|too|not)\b",
            (
                r"\b(?:task_?[Cc]ount|taskCount|number of tasks|--tasks)\b.{0,100}(?:must|cannot|can't|may not"
                r"|should|exceeds?|invalid|greater|at most|between|too)\b"
            ),
            (
                r"\b(?:max_?retries|maxRetries|--max-retries)\b.{0,100}(?:must|cannot|can't|may not|should"
                r"|exceeds?|invalid|greater|at most|between|too)\b"
            ),
            (
                r"\b(?:container_?)?overrides\b.{0,120}(?:must|cannot|invalid|not (?:found|allowed|match"
                r"|supported)|unknown|does not)"
            ),
            (
                r"(?:JobRequest|RunJobRequest|ExecutionTemplate"
                r"|TaskTemplate)\.\w[\w.\[\]]{2,120}: .{0,120}(?:must|cannot|invalid|not|exceeds?|should)\b"
            ),
            (
                r"--(?:execute-now|wait|async|tasks|task-timeout|max-retries|parallelism)\b.{0,80}(?:unrecognized"
                r"|invalid|not allowed|expected|may not|at most one)"
            ),
            r"(?:unrecognized|invalid).{0,60}--(?:execute-now|task-timeout|max-retries|parallelism|update-env-vars)\b.{0,60}",
        ),
        not_fix=("any IAM grant",),
        unless=r"volume|\bquotas?\b",
        confidence=0.8,
    ),
    Row(
        code="job-wait-over",
        category="jobs",
        subcategory="wait",
        title="Who waited for the job gave up before it ended",
        cause="The client's own limit is shorter than the execution, which goes on: nothing was stopped.",
        remedy="Give the client a longer limit, or start without waiting and look at the execution later.",
        patterns=(
            (
                r"[Tt]imed? ?out (?:after )?.{0,60}(?:while |when )?waiting (?:for|on) .{0,60}(?:\b[Jj]ob"
                r"|[Ee]xecution|[Oo]peration|LRO)\b"
            ),
            r"[Oo]peration did not complete within the designated timeout",
            (
                r"(?:timeout|timed out|deadline exceeded|gave up|giving up).{0,60}waiting .{0,80}(?:\b[Jj]ob"
                r"|[Ee]xecution|[Oo]peration)\b"
            ),
            (
                r"[Ee]rror waiting (?:to (?:create|update|delete)|for (?:Creating|Updating|Deleting"
                r"|Running)) Job\b.{0,80}(?:timeout|timed out|deadline)"
            ),
            r"waiting for (?:[Jj]ob|[Ee]xecution|[Oo]peration)s? .{0,120}(?:timed out|timeout|context deadline exceeded)",
            r"(?:still|may still) (?:be )?running (?:on|in) (?:GCP|Google Cloud|Cloud Run)",
            r"(?:[Jj]ob|[Ee]xecution) .{0,80}(?:did not|has not|didn't) (?:complete|finish|start|succeed)\w{0,3} (?:with)?in\b",
            r"[Tt]imeout of [\d.]+ ?s(?:econds)? exceeded.{0,200}(?:jobs?|executions?|operations?)\b",
        ),
        fix_kind="code_change",
        commands=("gcloud run jobs executions list --job={job} --region={region} --project={project}",),
        not_fix=("a longer --task-timeout: the task itself was not stopped", "any IAM grant"),
        explains=("host-unreachable", "connection-lost", "grpc-unavailable"),
        confidence=0.8,
    ),
    Row(
        code="job-missing",
        category="jobs",
        subcategory="not_found",
        title="There is no such job, execution or task",
        cause="A misspelled name, another region or project, or one that was deleted; a service is no job.",
        remedy="List the jobs of that region.",
        patterns=(
            r"(?:Cannot|Could not|Can't|Unable to) find (?:a |the )?(?:job|execution|task)\b",
            (
                r"\b(?:[Jj]ob|[Ee]xecution"
                r"|[Tt]ask) (?:named )?[\['\"]?[\w./-]{1,200}[\]'\"]? (?:could not be found|was not found"
                r"|is not found|not found|does not exist|doesn't exist|has been deleted)"
            ),
            r"of kind '?(?:JOB|EXECUTION|TASK)'?.{0,120}(?:does not exist|not found)",
            (
                r"(?:namespaces|locations)/[\w-]{3,63}/(?:jobs|executions|tasks)/[\w-]{1,63}['\"]? ?(?:was "
                r"|is )?(?:not found|does not exist)"
            ),
        ),
        only_with=r"run|jobs|[Cc]loud|execution",
        commands=("gcloud run jobs list --region={region} --project={project}",),
        not_fix=("any IAM grant",),
        unless=r"scheduler|builds?\.|dataflow|kubectl|batch/v1|vertex|aiplatform",
        confidence=0.75,
    ),
    Row(
        code="job-state",
        category="jobs",
        subcategory="state",
        title="The execution is in a state that does not allow this",
        cause="It has ended or was cancelled, still runs, or the job is being changed or deleted.",
        remedy="Look at its state; wait for the end of the other operation, or start a new execution.",
        patterns=(
            (
                r"(?:[Ee]xecution|[Jj]ob|[Tt]ask)\b.{0,100}(?:cannot|can't|could not) be (?:cancell?ed|deleted"
                r"|executed|run|updated|started)"
            ),
            (
                r"(?:[Ee]xecution|[Tt]ask)\b.{0,80}(?:is|has|was) already (?:been )?(?:completed?|finished"
                r"|cancell?ed|running|deleted|terminal)"
            ),
            r"(?:[Ee]xecution|[Tt]ask) (?:\S{1,120} )?(?:was|has been|got) cancell?ed(?! by (?:the )?user)",
            r"\bJob '?\S{1,80}'? (?:is being|was|has been) deleted|job is (?:currently )?being (?:updated|deleted)",
            r"[Jj]ob '?[\w-]{1,63}'? already exists|Resource '?[\w-]{1,63}'? already exists(?=.{0,300}jobs)",
            r"(?:Execution|Task)\w{0,20}(?:Cancelled|Aborted|Deleted)\b",
        ),
        only_with=r"run|[Cc]loud|executions?",
        commands=("gcloud run jobs executions list --job={job} --region={region} --project={project}",),
        not_fix=("any IAM grant",),
        fix_kind="user_action",
        rank=CONSEQUENCE,
        unless=r"Command killed|Aborted by user|bigquery|scheduler\.jobs|dataflow",
        confidence=0.65,
    ),
    Row(
        code="job-trigger",
        category="jobs",
        subcategory="trigger",
        title="What should start the job got an error in answer",
        cause="Scheduler, a workflow or a trigger calls the jobs API with a wrong address, body or kind of token.",
        remedy="The address ends in /jobs/NAME:run; Scheduler needs an OAuth token for it (not OIDC), and a POST.",
        patterns=(
            (
                r"URL_(?:CRAWLED|ERROR|UNREACHABLE|REJECTED"
                r"|TIMEOUT)\w{0,20}\b.{0,160}response code number = (?:400|404|405|409|429|5\d\d)"
            ),
            (
                r"AttemptFinished\b.{0,400}(?:URL_|UNREACHABLE|NOT_FOUND|INVALID_ARGUMENT|DEADLINE_EXCEEDED"
                r"|INTERNAL|UNAVAILABLE)(?!.{0,200}(?:number = 40[13]|PERMISSION_DENIED|UNAUTHENTICATED))"
            ),
        ),
        not_fix=("any IAM grant",),
        confidence=0.65,
    ),
    Row(
        code="job-failed",
        category="jobs",
        subcategory="exit",
        title="A task of the job ended with an error",
        cause="The container stopped with a code other than 0; its log says why.",
        remedy="Read the log of the execution; of a fine-tune: `gemmactl finetune logs NAME`.",
        patterns=(
            r"\bNonZeroExitCode\b|JobExecutionFailed|TaskFailed\b|ContainerExitedWithError",
            r"(?:Some tasks failed|Not all tasks finished) execution",
            (
                r"(?:[Ee]xecution|[Jj]ob)(?: run)? \S{1,160} (?:has )?(?:failed|completed with (?:errors?"
                r"|failures?)|ended with (?:an )?error|did not succeed)"
            ),
            r"\b\d+ (?:of \d+ )?tasks? (?:have |has )?failed\b|failed_?[Cc]ount['\"]?: ?[1-9]|failedCount: ?[1-9]",
            r"[Tt]ask(?:s| index)? \S{1,80} (?:has |have )?failed\b",
            (
                r"[Mm]ax(?:imum)? (?:number of )?(?:retries|attempts)(?: of \d+)? (?:was |were |has been "
                r"|have been )?(?:reached|exceeded|exhausted).{0,200}(?:task|job|execution)"
            ),
            r"\bgcloud\.(?:\w+\.)?run\.jobs\.[\w.]{3,40}\) (?:Job|Execution|The|Task)\b.{0,80}fail",
            r"Error waiting (?:to (?:create|update)|for (?:Creating|Updating|Running)) (?:Job|Execution)\b",
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
