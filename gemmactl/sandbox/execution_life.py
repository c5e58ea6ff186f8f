"""The life of an execution: its tasks in turn, retries, cancellation, how it ends. Knows no request and no process."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from google.cloud import run_v2 as api
from google.protobuf import json_format

from gemmactl.sandbox import execution_words as words
from gemmactl.sandbox.attempts import Attempt, Attempts
from gemmactl.sandbox.blobs import stamp
from gemmactl.sandbox.execution_words import Outcome, completed, condition, with_condition
from gemmactl.sandbox.run_etags import new_etag
from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from gemmactl.sandbox.world import World

Json = dict[str, Any]
JOBS: Final = "jobs"
EXECUTIONS: Final = "executions"
TASKS: Final = "tasks"
IMAGES: Final = "job_images"
"""What a job's image was when it was deployed: root, config, digest; an execution keeps its own copy."""
AT_A_TIME: Final = 16
"""Tasks that this machine runs at a time, whatever the parallelism."""
PROVISIONING: Final = 1.0
BETWEEN: Final = 1.0
"""Seconds at pace 1 until an execution starts, and between two attempts; both made up."""


class ExecutionLife:
    """One for each world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.attempts = Attempts(world)
        self._cancelled: dict[str, threading.Event] = {}
        self._operations: dict[str, str] = {}
        self._closed = threading.Event()
        world.closers.append(self._close)

    def recover(self) -> None:
        """What a stopped daemon had begun is failed: its processes are gone."""
        for name, execution in self._world.store.items(EXECUTIONS):
            if "completionTime" not in execution:
                for task, document in self._tasks(name):
                    if "completionTime" not in document:
                        self._task_over(name, task, Outcome(words.ABORTED, words.STOPPED))
                self._settle(name, words.ABORTED, words.STOPPED)

    def start(self, name: str) -> operations_pb2.Operation:
        """Run a stored execution. The operation is done when the execution is."""
        execution = self._get(name)
        parent = name.partition("/jobs/")[0]
        operation = f"{parent}/operations/{uuid.uuid4()}"
        self._operations[name] = operation
        self._cancelled[name] = threading.Event()
        return self._world.operations.start(
            parent, execution_message(execution), lambda: execution_message(self._run(name)), name=operation
        )

    def cancel(self, name: str) -> Json:
        """Stop all of its tasks; returns it when it is over.

        Raises:
            ApiError: 400, it isn't running.
        """
        flag = self._cancelled.get(name)
        if flag is None or "completionTime" in self._get(name):
            # source: an emulator's comparison with the API
            short = name.rpartition("/")[2]
            raise failed("FAILED_PRECONDITION", f"Execution '{short}' cannot be cancelled because it is not running.")
        flag.set()
        self.attempts.stop(name)
        while "completionTime" not in (execution := self._get(name)) and not self._closed.is_set():
            time.sleep(0.02)
        return execution

    def forget(self, name: str) -> Json:
        """End it if it runs, and remove it with its tasks. Returns it as it was at last."""
        with contextlib.suppress(ApiError):  # it is over already
            self.cancel(name)
        execution = self._get(name)
        for task, _ in self._tasks(name):
            self._world.store.delete(TASKS, task)
        self._world.store.delete(EXECUTIONS, name)
        self._world.store.delete(IMAGES, name)
        self._cancelled.pop(name, None)
        return execution

    # --- inside
    def _close(self) -> None:
        """The daemon stops: its processes end now; what they were part of is failed by `recover`."""
        self._closed.set()
        for flag in list(self._cancelled.values()):
            flag.set()
        self.attempts.stop("")

    def _run(self, name: str) -> Json:
        begun = time.monotonic()
        flag, execution = self._cancelled[name], self._get(name)
        flag.wait(PROVISIONING * self._world.settings.pace)
        now = self._now()
        took = f"Started deployed execution in {words.span(time.monotonic() - begun)}."
        self._change(name, now, condition("Started", now, took), startTime=now)
        count = int(execution["taskCount"])
        todo = iter(range(count))
        lock = threading.Lock()
        most = min(int(execution.get("parallelism") or count), count, AT_A_TIME)
        workers = [threading.Thread(target=self._work, args=(name, execution, todo, lock), daemon=True) for _ in range(most)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self._closed.is_set():
            raise failed("UNAVAILABLE", words.STOPPED)
        return self._verdict(name, begun)

    def _work(self, name: str, execution: Json, todo: Iterator[int], lock: threading.Lock) -> None:
        while True:
            with lock:
                index = next(todo, None)
            if index is None:
                return
            try:
                self._task(name, execution, index)
            except Exception:
                logging.getLogger(__name__).exception("task %d of %s", index, name)
                lost = Outcome(words.INTERNAL, "The sandbox failed while it ran the task; see its daemon log.")
                self._task_over(name, f"{name}/tasks/{name.rpartition('/')[2]}-task{index}", lost)

    def _task(self, name: str, execution: Json, index: int) -> None:
        flag, template = self._cancelled[name], execution["template"]
        image = self._world.store.get(IMAGES, name) or {}
        outcome = Outcome(words.CANCELLED, words.BY_USER)
        for number in range(int(template["maxRetries"]) + 1):
            if flag.is_set():
                break
            attempt = Attempt(name, template, image, index, number, int(execution["taskCount"]))
            self._task_begun(name, attempt)
            outcome = self.attempts.run(attempt, flag.is_set)
            if outcome.code in (words.OK, words.CANCELLED) or number == template["maxRetries"]:
                break
            self._task_tried(attempt, outcome)
            if flag.wait(BETWEEN * self._world.settings.pace):
                outcome = Outcome(words.CANCELLED, words.BY_USER)
        if not self._closed.is_set():
            self._task_over(name, f"{name}/tasks/{name.rpartition('/')[2]}-task{index}", outcome)

    def _task_begun(self, name: str, attempt: Attempt) -> None:
        now, store = self._now(), self._world.store
        with store.lock:
            task = store.get(TASKS, attempt.task) or {}
            started = {} if "startTime" in task else {"startTime": now, "conditions": _under_way(task["conditions"], now)}
            retried = {"retried": attempt.number} if attempt.number else {}
            store.put(TASKS, attempt.task, {**task, **started, **retried, "updateTime": now})
        self._change(name, now)

    def _task_tried(self, attempt: Attempt, outcome: Outcome) -> None:
        store = self._world.store
        with store.lock:
            task = store.get(TASKS, attempt.task) or {}
            store.put(TASKS, attempt.task, {**task, "lastAttemptResult": outcome.result(), "updateTime": self._now()})

    def _task_over(self, name: str, full: str, outcome: Outcome) -> None:
        now, store = self._now(), self._world.store
        with store.lock:
            task = store.get(TASKS, full)
            if task is None:
                return
            ended = completed(now, outcome.code, outcome.message)
            task |= {"lastAttemptResult": outcome.result(), "completionTime": now, "updateTime": now, "observedGeneration": "1"}
            task["conditions"] = with_condition(task["conditions"], ended)
            task.pop("reconciling", None)
            store.put(TASKS, full, task)
        self._change(name, now)

    def _verdict(self, name: str, begun: float) -> Json:
        tasks = sorted((task for _, task in self._tasks(name)), key=lambda task: int(task.get("index", 0)))
        bad = next((task for task in tasks if words.state_of(task) == "failed"), None)
        if any(words.state_of(task) == "cancelled" for task in tasks):
            return self._settle(name, words.CANCELLED, words.BY_USER)
        if bad is None:
            return self._settle(name, words.OK, f"Execution completed successfully in {words.span(time.monotonic() - begun)}.")
        result = bad["lastAttemptResult"]
        text, code = words.sentence(bad["name"].rpartition("/")[2], result), int(result["status"]["code"])
        self._settle(name, code, text)
        raise failed(words.STATUS[code], text)

    def _settle(self, name: str, code: int, text: str) -> Json:
        """Write how the execution ended, there and in its job."""
        now, store = self._now(), self._world.store
        execution = self._change(name, now, completed(now, code, text), completionTime=now, observedGeneration="1")
        job_name = name.partition("/executions/")[0]
        with store.lock:
            job = store.get(JOBS, job_name)
            short = name.rpartition("/")[2]
            if job and job.get("latestCreatedExecution", {}).get("name") == short:
                word = {words.OK: "SUCCEEDED", words.CANCELLED: "CANCELLED"}.get(code, "FAILED")
                latest = {**job["latestCreatedExecution"], "completionTime": now, "completionStatus": f"EXECUTION_{word}"}
                store.put(JOBS, job_name, {**job, "latestCreatedExecution": latest})
        return execution

    def _change(self, name: str, now: str, *conditions: Json, **fields: Any) -> Json:
        """The execution with its counts as its tasks are now; its operation tells the same."""
        store = self._world.store
        with store.lock:
            old = {key: value for key, value in self._get(name).items() if not key.endswith("Count") or key == "taskCount"}
            counted = words.counts(task for _, task in self._tasks(name))
            new = {**old, **counted, **fields, "updateTime": now, "etag": new_etag()}
            for one in conditions:
                new["conditions"] = with_condition(new["conditions"], one)
            if "completionTime" in new:
                new.pop("reconciling", None)
            store.put(EXECUTIONS, name, new)
        if name in self._operations:
            with contextlib.suppress(ApiError):  # whoever started it may have deleted its operation
                self._world.operations.note(self._operations[name], execution_message(new))
        return new

    def _get(self, name: str) -> Json:
        execution = self._world.store.get(EXECUTIONS, name)
        if execution is None:
            raise missing(name, "EXECUTION")
        return execution

    def _tasks(self, name: str) -> list[tuple[str, Json]]:
        return [(full, task) for full, task in self._world.store.items(TASKS) if full.startswith(f"{name}/tasks/")]

    def _now(self) -> str:
        return stamp(self._world.clock.now())


def missing(name: str, kind: str) -> ApiError:
    """404 in Cloud Run's words. Source for job and execution: an emulator's comparison with the API; a task's is a guess."""
    parts = name.split("/")
    short, region, project = parts[-1], parts[3], parts[1]
    return failed("NOT_FOUND", f"Resource '{short}' of kind '{kind}' in region '{region}' in project '{project}' does not exist.")


def execution_message(execution: Json) -> Any:
    return json_format.ParseDict(execution, api.Execution.pb(api.Execution()))


def _under_way(conditions: list[Json], now: str) -> list[Json]:
    return with_condition(conditions, condition("Started", now))
