"""Cloud Run's Executions and Tasks: get, list, cancel, delete. Knows no process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.cloud import run_v2 as api
from google.protobuf import json_format

from gemmactl.sandbox.documents import page
from gemmactl.sandbox.execution_life import EXECUTIONS, TASKS, ExecutionLife, execution_message, missing
from gemmactl.sandbox.run_etags import guard

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from gemmactl.sandbox.world import World

Json = dict[str, Any]


class Executions:
    """One for each world."""

    def __init__(self, world: World, life: ExecutionLife) -> None:
        self._world = world
        self._life = life

    def install(self) -> None:
        """Register the behaviours."""
        table = {
            "Executions.GetExecution": self._read,
            "Executions.ListExecutions": self._list,
            "Executions.CancelExecution": self._cancel,
            "Executions.DeleteExecution": self._delete,
            "Tasks.GetTask": self._task,
            "Tasks.ListTasks": self._tasks,
        }
        self._world.behaviours.update({f"run_v2.{name}": behaviour for name, behaviour in table.items()})

    def _read(self, world: World, caller: str, request: Any) -> Any:
        name = world.name(request.name)
        world.iam.require(caller, "run.executions.get", name)
        return execution_message(_found(world, name))

    def _list(self, world: World, caller: str, request: Any) -> Any:
        parent = world.name(request.parent)
        world.iam.require(caller, "run.executions.list", parent)
        rows = [one for name, one in world.store.items(EXECUTIONS) if _below(name, parent, "executions")]
        rows.sort(key=lambda one: str(one["createTime"]), reverse=True)
        shown, token = page(rows, request.page_size, request.page_token)
        answer = api.ListExecutionsResponse.pb(api.ListExecutionsResponse(next_page_token=token))
        answer.executions.extend(execution_message(one) for one in shown)
        return answer

    def _cancel(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        name = world.name(request.name)
        world.iam.require(caller, "run.executions.cancel", name)
        execution = _guarded(world, name, request.etag)
        parent = name.partition("/jobs/")[0]
        if "completionTime" in execution:
            self._life.cancel(name)  # says why not
        if request.validate_only:
            return world.operations.done(parent, execution_message(execution), execution_message(execution))
        return world.operations.start(parent, execution_message(execution), lambda: execution_message(self._life.cancel(name)))

    def _delete(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        name = world.name(request.name)
        world.iam.require(caller, "run.executions.delete", name)
        execution = _guarded(world, name, request.etag)
        parent = name.partition("/jobs/")[0]
        if request.validate_only:
            return world.operations.done(parent, execution_message(execution), execution_message(execution))
        if "completionTime" in execution:
            gone = execution_message(self._life.forget(name))
            return world.operations.done(parent, gone, gone)
        return world.operations.start(parent, execution_message(execution), lambda: execution_message(self._life.forget(name)))

    def _task(self, world: World, caller: str, request: Any) -> Any:
        name = world.name(request.name)
        world.iam.require(caller, "run.tasks.get", name)
        task = world.store.get(TASKS, name)
        if task is None:
            raise missing(name, "TASK")
        return task_message(task)

    def _tasks(self, world: World, caller: str, request: Any) -> Any:
        parent = world.name(request.parent)
        world.iam.require(caller, "run.tasks.list", parent)
        rows = [task for name, task in world.store.items(TASKS) if _below(name, parent, "tasks")]
        rows.sort(key=lambda task: (task["name"].rpartition("/tasks/")[0], int(task.get("index", 0))))
        shown, token = page(rows, request.page_size, request.page_token)
        answer = api.ListTasksResponse.pb(api.ListTasksResponse(next_page_token=token))
        answer.tasks.extend(task_message(task) for task in shown)
        return answer


def task_message(task: Json) -> Any:
    return json_format.ParseDict(task, api.Task.pb(api.Task()))


def _below(name: str, parent: str, collection: str) -> bool:
    """Whether it is one of the parent's; `-` in the parent stands for any."""
    own = name.rpartition(f"/{collection}/")[0].split("/")
    return len(own) == len(parent.split("/")) and all(
        theirs in ("-", mine) for mine, theirs in zip(own, parent.split("/"), strict=True)
    )


def _found(world: World, name: str) -> Json:
    execution = world.store.get(EXECUTIONS, name)
    if execution is None:
        raise missing(name, "EXECUTION")
    return execution


def _guarded(world: World, name: str, etag: str) -> Json:
    execution = _found(world, name)
    guard(execution, etag)
    return execution
