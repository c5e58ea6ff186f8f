"""Cloud Run's jobs, executions and tasks as resources see them: one protocol, plain v2 JSON in and out. Knows no Google client.

The rules of `cloud.py` hold: every method may raise Trouble, "not there" is None or an empty tuple.
"""

from __future__ import annotations

from typing import Any, Protocol

Json = dict[str, Any]


class Jobs(Protocol):
    """All JSON is lowerCamelCase with enum names, as in `cloud.Run`; zero and empty fields are absent.

    Names: job `projects/P/locations/L/jobs/J`; execution `JOB/executions/E`; task `JOB/executions/E/tasks/T`.
    """

    def get(self, name: str) -> Json | None:
        """The job, or None."""

    def list(self, region: str) -> tuple[Json, ...]:
        """All jobs of the project in the region."""

    def create(self, parent: str, job_id: str, body: Json, *, validate_only: bool = False) -> str:
        """Name of the operation; empty for a dry run."""

    def update(self, body: Json, *, validate_only: bool = False) -> str:
        """PATCH without a mask: Cloud Run replaces all that a caller may set. `body["name"]` says which, `body["etag"]` guards.

        Name of the operation; empty for a dry run.
        """

    def delete(self, name: str) -> str:
        """The job with its executions. Name of the operation; empty when it was gone already."""

    def run(self, name: str, *, etag: str = "") -> str:
        """Start an execution; `etag`: only of the job as it was read. Name of the operation, which is done when the execution is.

        Needs run.jobs.run alone, because nothing is overridden.
        """

    def started(self, operation: str) -> str:
        """Full name of the execution that an operation of `run` has started."""

    def execution(self, name: str) -> Json | None:
        """One execution, or None."""

    def executions(self, job: str) -> tuple[Json, ...]:
        """All executions of a job, the newest first."""

    def cancel(self, execution: str) -> str:
        """Stop its tasks: SIGTERM, and SIGKILL 10 s later. Name of the operation.

        Trouble 400 when the execution has ended already.
        """

    def delete_execution(self, name: str) -> str:
        """An execution that has ended. Name of the operation; empty when it was gone already."""

    def tasks(self, execution: str) -> tuple[Json, ...]:
        """The tasks of an execution, by index."""

    def finished(self, operation: str) -> bool:
        """One poll. Raises Trouble with the operation's own error.

        Of a run: 409 when a task's last attempt failed, 504 when it was too long. A cancelled one has no error: only its
        execution says so.
        """
