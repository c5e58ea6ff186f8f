"""Cloud Run's jobs in memory: runs end as `cloud.ending` says, or when a test ends them. Knows no client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmactl.resources.cloud import Json, PolicyTarget
from tests.fakes.executions import Ending, begun, defaulted_job, ended, job_state, tasks_of
from tests.fakes.refusal import refusal

if TYPE_CHECKING:
    from tests.fakes.cloud import FakeCloud, State


class Jobs:
    """Implements `cloud_jobs.Jobs`."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud

    def end(self, execution: str, exit_code: int = 0, *, retried: int = 0) -> None:
        """The test's own hand: a run is over. No call of the API."""
        state, ending = self.cloud.state, Ending(exit_code, retried=retried)
        state.endings[execution] = ending
        state.executions[execution] = ended(state.executions[execution], ending)

    def get(self, name: str) -> Json | None:
        with self.cloud.call("jobs.get", name, api="run") as state:
            return state.jobs.get(name)

    def list(self, region: str) -> tuple[Json, ...]:
        with self.cloud.call("jobs.list", region, api="run") as state:
            parent = f"projects/{self.cloud.project}/locations/{region}/"
            return tuple(job for name, job in sorted(state.jobs.items()) if name.startswith(parent))

    def create(self, parent: str, job_id: str, body: Json, *, validate_only: bool = False) -> str:
        name = f"{parent}/jobs/{job_id}"
        with self.cloud.call("jobs.create", name, write=not validate_only, api="run") as state:
            self._judge(dry=validate_only)
            if name in state.jobs:
                raise refusal(409, f"Resource '{job_id}' already exists.")
            return "" if validate_only else self._put(state, name, body, None)

    def update(self, body: Json, *, validate_only: bool = False) -> str:
        name = body["name"]
        with self.cloud.call("jobs.update", name, write=not validate_only, api="run") as state:
            self._judge(dry=validate_only)
            old = state.jobs.get(name)
            if old is None:
                raise refusal(404, f"Resource '{name.rpartition('/')[2]}' of kind 'JOB' does not exist.")
            if body.get("etag") and body["etag"] != old["etag"]:
                raise refusal(409, "the etag does not match")
            return "" if validate_only else self._put(state, name, body, old)

    def delete(self, name: str) -> str:
        with self.cloud.call("jobs.delete", name, write=True, api="run") as state:
            if state.jobs.pop(name, None) is None:
                return ""
            state.executions = {k: v for k, v in state.executions.items() if not k.startswith(f"{name}/executions/")}
            state.policies.pop(PolicyTarget("job", name), None)
            return f"{name}/operations/deleted"

    def run(self, name: str, *, etag: str = "") -> str:
        with self.cloud.call("jobs.run", name, write=True, api="run") as state:
            job = state.jobs.get(name)
            if job is None:
                raise refusal(404, f"Resource '{name.rpartition('/')[2]}' of kind 'JOB' does not exist.")
            if etag and etag != job["etag"]:
                raise refusal(409, "the etag does not match")
            count = job.get("executionCount", 0) + 1
            short = f"{name.rpartition('/')[2]}-{count:05d}"
            full = f"{name}/executions/{short}"
            state.endings[full] = self.cloud.ending
            state.executions[full] = {**begun(full, job), "createTime": f"2026-11-22T{count // 60:02d}:{count % 60:02d}:00Z"}
            state.jobs[name] = {**job, "executionCount": count, "latestCreatedExecution": {"name": short}}
            self.cloud.polls_left[full] = self.cloud.ending.polls
            return f"{name}/operations/run/{short}"

    def started(self, operation: str) -> str:
        with self.cloud.call("jobs.started", operation, api="run"):
            name, _, short = operation.partition("/operations/run/")
            return f"{name}/executions/{short}"

    def execution(self, name: str) -> Json | None:
        with self.cloud.call("jobs.execution", name, api="run") as state:
            return self._polled(state, name)

    def executions(self, job: str) -> tuple[Json, ...]:
        with self.cloud.call("jobs.executions", job, api="run") as state:
            found = [one for name, one in state.executions.items() if name.startswith(f"{job}/executions/")]
            return tuple(reversed(found))

    def cancel(self, execution: str) -> str:
        with self.cloud.call("jobs.cancel", execution, write=True, api="run") as state:
            one = state.executions.get(execution)
            if one is None:
                raise refusal(404, f"Resource '{execution.rpartition('/')[2]}' of kind 'EXECUTION' does not exist.")
            if "completionTime" in one:
                raise refusal(400, f"Execution '{execution.rpartition('/')[2]}' cannot be cancelled because it is not running.")
            state.executions[execution] = ended(one, state.endings[execution], cancelled=True)
            return f"{execution}/operations/cancelled"

    def delete_execution(self, name: str) -> str:
        with self.cloud.call("jobs.delete_execution", name, write=True, api="run") as state:
            return f"{name}/operations/deleted" if state.executions.pop(name, None) else ""

    def tasks(self, execution: str) -> tuple[Json, ...]:
        with self.cloud.call("jobs.tasks", execution, api="run") as state:
            one = state.executions.get(execution)
            return tasks_of(one, state.endings[execution]) if one else ()

    def finished(self, operation: str) -> bool:
        with self.cloud.call("jobs.finished", operation, api="run") as state:
            name, _, short = operation.partition("/operations/run/")
            one = self._polled(state, f"{name}/executions/{short}") if short else None
            condition = one["conditions"][0] if one else {}
            if condition.get("executionReason") == "NON_ZERO_EXIT_CODE":
                raise refusal(409, condition["message"], operation=operation)
            return one is None or "completionTime" in one

    def _judge(self, *, dry: bool) -> None:
        if dry and self.cloud.illegal:
            raise refusal(400, self.cloud.illegal)

    def _put(self, state: State, name: str, body: Json, old: Json | None) -> str:
        state.jobs[name] = job_state(name, defaulted_job(body, self.cloud.number()), old)
        return f"{name}/operations/done-{state.jobs[name]['generation']}"

    def _polled(self, state: State, name: str) -> Json | None:
        """The execution, one poll nearer to its end."""
        one, left = state.executions.get(name), self.cloud.polls_left.get(name, 0)
        if one is None or "completionTime" in one:
            return one
        if left > 0:
            self.cloud.polls_left[name] = left - 1
        elif left == 0:
            state.executions[name] = ended(one, state.endings[name])
        return state.executions[name]
