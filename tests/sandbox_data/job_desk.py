"""Jobs of small shell programs on a sandbox in this process, through the official clients."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from google.cloud import run_v2

from gemmactl.sandbox import images
from gemmactl.sandbox.world import World

from .conftest import REGION, RUN_SA, YOU, Cloud, until

JOB = f"{REGION}/jobs/tune"


class Desk:
    """`folder`: where the images' files are. `clients`: jobs, executions and tasks as the owner."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.world, self.folder = cloud, cloud.world, folder
        self.jobs = cloud.client(run_v2.JobsClient)
        self.executions = cloud.client(run_v2.ExecutionsClient)
        self.tasks = cloud.client(run_v2.TasksClient)
        open_shop(self.world)

    def image(self, program: str) -> str:
        """An image whose ENTRYPOINT is a shell program, as if it had been built; its address by digest."""
        digest = hashlib.sha256(program.encode()).hexdigest()
        root = self.folder / digest[:12]
        (root / "app").mkdir(parents=True, exist_ok=True)
        (root / "app" / "run.sh").write_text(program)
        stem = "us-central1-docker.pkg.dev/gemmactl-sandbox/repo/small"
        config = {"entrypoint": ["sh", "/app/run.sh"], "env": {"FROM_IMAGE": "yes"}}
        images.push(self.world, f"{stem}:{digest[:12]}", f"sha256:{digest}", str(root), config)
        return f"{stem}@sha256:{digest}"

    def body(self, program: str, container: dict[str, Any] | None = None, **task: Any) -> dict[str, Any]:
        """A job; `tasks` and `parallelism` go to its template."""
        outer = {key: task.pop(key) for key in ("task_count", "parallelism") if key in task}
        containers = [{"image": self.image(program), **(container or {})}]
        return {"template": {**outer, "template": {"service_account": RUN_SA, "containers": containers, **task}}}

    def create(self, program: str, container: dict[str, Any] | None = None, **task: Any) -> Any:
        body = self.body(program, container, **task)
        return self.end(self.jobs.create_job(request={"parent": REGION, "job_id": "tune", "job": body}))

    def run(self, email: str = YOU, **request: Any) -> tuple[Any, str]:
        """The operation and the execution's full name."""
        operation = self.cloud.client(run_v2.JobsClient, email).run_job(request={"name": JOB, **request})
        return operation, operation.metadata.name

    def end(self, operation: Any) -> Any:
        """Its result, sooner than the client's own polling would see it."""
        until(lambda: self.jobs.get_operation(request={"name": operation.operation.name}).done)
        return operation.result(timeout=20)

    def execution(self, name: str) -> run_v2.Execution:
        return self.executions.get_execution(request={"name": name})

    def task(self, execution: str, index: int = 0) -> run_v2.Task:
        return self.tasks.get_task(request={"name": f"{execution}/tasks/{execution.rpartition('/')[2]}-task{index}"})

    def lines(self, execution: str, more: str = "") -> list[str]:
        """The text of an execution's log, in order."""
        short = execution.rpartition("/")[2]
        query = f'resource.type="cloud_run_job" AND labels."run.googleapis.com/execution_name"="{short}" {more}'
        return [entry.get("textPayload", "") for entry in self.world.logs.entries(query.strip())]


def open_shop(world: World) -> None:
    """A repository and the account that jobs run as."""
    world.store.put("repositories", f"{REGION}/repositories/repo", {"name": f"{REGION}/repositories/repo", "format": "DOCKER"})
    world.store.put("service_accounts", RUN_SA, {"email": RUN_SA})


def completed(execution: run_v2.Execution) -> tuple[str, str, str]:
    """State, reason and message of the condition that says how it ended."""
    (one,) = [c for c in execution.conditions if c.type_ == "Completed"]
    return one.state.name, one.execution_reason.name, one.message
