"""Cloud Run jobs, executions and tasks as v2 JSON. Knows not what a job is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gemmactl.errors import Trouble
from gemmactl.gcp.run_operations import API, Operations, created, message, plain
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud_jobs import Json


class CloudRunJobs:
    """Implements `cloud_jobs.Jobs`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._jobs = wire.client(_jobs)
        self._executions = wire.client(_executions)
        self._tasks = wire.client(_tasks)
        self._operations = Operations(wire, self._jobs, "the job")

    def get(self, name: str) -> Json | None:
        return self._wire.find(API, _short(name), lambda: plain(_call(self._jobs, "get_job", {"name": name})))

    def list(self, region: str) -> tuple[Json, ...]:
        request = {"parent": f"projects/{self._wire.project}/locations/{region}"}
        return self._all(self._jobs, "list_jobs", request, f"the jobs in {region}")

    def create(self, parent: str, job_id: str, body: Json, *, validate_only: bool = False) -> str:
        def ask() -> Any:
            from google.cloud.run_v2 import CreateJobRequest, Job

            request = CreateJobRequest(parent=parent, job_id=job_id, job=message(Job, body), validate_only=validate_only)
            return _call(self._jobs, "create_job", request)

        return self._operations.begun(f"making job {job_id}", ask, dry=validate_only)

    def update(self, body: Json, *, validate_only: bool = False) -> str:
        def ask() -> Any:
            from google.cloud.run_v2 import Job, UpdateJobRequest

            return _call(self._jobs, "update_job", UpdateJobRequest(job=message(Job, body), validate_only=validate_only))

        return self._operations.begun(f"changing {_short(body['name'])}", ask, dry=validate_only)

    def delete(self, name: str) -> str:
        return self._operations.deleted(f"deleting {_short(name)}", lambda: _call(self._jobs, "delete_job", {"name": name}))

    def run(self, name: str, *, etag: str = "") -> str:
        request = {"name": name, "etag": etag}
        return self._operations.begun(f"starting {_short(name)}", lambda: _call(self._jobs, "run_job", request), dry=False)

    def started(self, operation: str) -> str:
        from google.cloud.run_v2 import Execution

        found = self._operations.get(operation)
        execution = Execution.pb(Execution())
        if not found.metadata.Unpack(execution):
            raise Trouble(
                "Cloud Run did not say which execution it has started",
                why=f"operation {operation} carries no execution",
                remedy="run the same command again: what has been started is found by its job",
                code="unexpected-answer",
                facts={"api": API},
            )
        return str(execution.name)

    def execution(self, name: str) -> Json | None:
        def ask() -> Json:
            return plain(_call(self._executions, "get_execution", {"name": name}))

        return self._wire.find(API, _short(name, "execution"), ask)

    def executions(self, job: str) -> tuple[Json, ...]:
        found = self._all(self._executions, "list_executions", {"parent": job}, f"the executions of {_short(job)}")
        return tuple(sorted(found, key=created, reverse=True))

    def cancel(self, execution: str) -> str:
        def ask() -> Any:
            return _call(self._executions, "cancel_execution", {"name": execution})

        return self._operations.begun(f"cancelling {_short(execution, 'execution')}", ask, dry=False)

    def delete_execution(self, name: str) -> str:
        def ask() -> Any:
            return _call(self._executions, "delete_execution", {"name": name})

        return self._operations.deleted(f"deleting {_short(name, 'execution')}", ask)

    def tasks(self, execution: str) -> tuple[Json, ...]:
        doing = f"the tasks of {_short(execution, 'execution')}"
        found = self._all(self._tasks, "list_tasks", {"parent": execution}, doing)
        return tuple(sorted(found, key=lambda task: int(task.get("index", 0))))

    def finished(self, operation: str) -> bool:
        return self._operations.finished(operation)

    def _all(self, client: Callable[[], Any], method: str, request: Json, doing: str) -> tuple[Json, ...]:
        return self._wire.find(API, doing, lambda: tuple(plain(one) for one in _call(client, method, request))) or ()


def _call(client: Callable[[], Any], method: str, request: Any) -> Any:
    return getattr(client(), method)(request=request, retry=None, timeout=TIMEOUT)


def _short(name: str, kind: str = "job") -> str:
    return f"{kind} {name.rpartition('/')[2]}"


def _jobs() -> Any:
    from google.cloud.run_v2 import JobsClient

    return JobsClient


def _executions() -> Any:
    from google.cloud.run_v2 import ExecutionsClient

    return ExecutionsClient


def _tasks() -> Any:
    from google.cloud.run_v2 import TasksClient

    return TasksClient
