"""Cloud Run's Jobs: create, update, get, list, delete, run, IAM. Knows no process.

An etag is held to wherever it may be sent, as the API's reference says; published comparisons saw the API ignore it on run and
delete.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from google.cloud import run_v2 as api
from google.protobuf import json_format

from gemmactl.sandbox import images
from gemmactl.sandbox.attempts import SECRETS_OF_A_JOB
from gemmactl.sandbox.blobs import stamp
from gemmactl.sandbox.documents import page
from gemmactl.sandbox.execution_life import EXECUTIONS, IMAGES, JOBS, ExecutionLife, execution_message, missing
from gemmactl.sandbox.execution_words import condition
from gemmactl.sandbox.iam_methods import methods
from gemmactl.sandbox.job_defaults import with_defaults
from gemmactl.sandbox.job_overrides import overridden
from gemmactl.sandbox.job_rules import check
from gemmactl.sandbox.new_execution import keep, new_execution
from gemmactl.sandbox.quota import Quota, check_job_quota
from gemmactl.sandbox.recipes import recipe
from gemmactl.sandbox.regions import require_region
from gemmactl.sandbox.run_admission import admit
from gemmactl.sandbox.run_etags import guard, new_etag
from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.longrunning import operations_pb2

    from gemmactl.sandbox.world import World

Json = dict[str, Any]
_WRITTEN_BY_SERVER: Final = (
    "name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier",
    "observedGeneration", "terminalCondition", "conditions", "executionCount", "latestCreatedExecution", "reconciling",
    "satisfiesPzs", "etag",
)  # fmt: skip


class Jobs:
    """One for each world. `quota`: the limits in force at this moment."""

    def __init__(self, world: World, life: ExecutionLife, quota: Callable[[], Quota]) -> None:
        self._world = world
        self._life = life
        self._quota = quota

    def install(self) -> None:
        """Register the behaviours."""
        table = {
            "CreateJob": self._create, "UpdateJob": self._update, "GetJob": self._read, "ListJobs": self._list,
            "DeleteJob": self._delete, "RunJob": self._run,
        }  # fmt: skip
        self._world.behaviours.update({f"run_v2.Jobs.{name}": behaviour for name, behaviour in table.items()})
        self._world.behaviours.update(methods("run_v2.Jobs", "run.jobs", lambda world, name: _ignore(_found(world, name))))

    # --- writing
    def _create(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        name = f"{world.name(request.parent)}/jobs/{request.job_id}"
        world.iam.require(caller, "run.jobs.create", name)
        if world.store.get(JOBS, name):
            raise failed("ALREADY_EXISTS", f"Resource '{request.job_id}' already exists.")
        return self._apply(caller, name, json_format.MessageToDict(request.job), None, dry=request.validate_only)

    def _update(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        given = json_format.MessageToDict(request.job)
        name = world.name(given.get("name", ""))
        old = world.store.get(JOBS, name)
        world.iam.require(caller, "run.jobs.update" if old else "run.jobs.create", name)
        if old is None and not request.allow_missing:
            raise missing(name, "JOB")
        if old:
            guard(old, given.get("etag", ""))
        return self._apply(caller, name, given, old, dry=request.validate_only)

    def _apply(self, caller: str, name: str, given: Json, old: Json | None, *, dry: bool) -> operations_pb2.Operation:
        world, now = self._world, stamp(self._world.clock.now())
        wish = {key: value for key, value in given.items() if key not in _WRITTEN_BY_SERVER}
        if wish.keys() & {"startExecutionToken", "runExecutionToken"}:
            raise failed("UNIMPLEMENTED", "The sandbox starts no execution by a token of the job: send jobs.run.")
        require_region(name)
        check(wish, name.rpartition("/")[2], dry=dry)
        job = with_defaults(wish, world.compute_account)
        check_job_quota(job["template"], self._quota())
        admit(world, caller, job["template"]["template"])
        same = old is not None and all(job.get(key) == old.get(key) for key in {*job, *old} - {*_WRITTEN_BY_SERVER})
        number = int(old["generation"]) + (not same) if old else 1
        kept = {key: old[key] for key in ("executionCount", "latestCreatedExecution") if old and key in old}
        job |= kept | {
            "name": name,
            "uid": old["uid"] if old else str(uuid.uuid4()),
            "generation": str(number),
            "createTime": old["createTime"] if old else now,
            "updateTime": now,
            "creator": old["creator"] if old else caller.partition(":")[2],
            "lastModifier": caller.partition(":")[2],
            "etag": new_etag(),
        }
        parent = name.partition("/jobs/")[0]
        if dry:
            return world.operations.done(parent, _message(job), _message(job))
        job |= {"reconciling": True, "terminalCondition": condition("Ready", now, state="RECONCILING")}
        world.store.put(JOBS, name, job)
        return world.operations.start(parent, _message(job), lambda: _message(self._settle(name, str(number))))

    def _settle(self, name: str, generation: str) -> Json:
        """Look at image and secrets, as a deployment does. The job is Ready then, or says why not.

        Raises:
            ApiError: why it isn't.
        """
        error: ApiError | None = None
        world = self._world
        try:
            self._provide(name, _found(world, name)["template"]["template"])
        except ApiError as raised:
            error = raised
        now = stamp(world.clock.now())
        ready = condition("Ready", now)
        if error:
            reason = "CONTAINER_MISSING" if error.status == "NOT_FOUND" else "SECRETS_ACCESS_CHECK_FAILED"
            ready = {**condition("Ready", now, error.message, state="FAILED"), "reason": reason, "severity": "ERROR"}
        with world.store.lock:
            job = _found(world, name)
            if job["generation"] == generation:  # else a newer one looks itself
                job |= {"terminalCondition": ready, "observedGeneration": generation}
                job.pop("reconciling", None)
                world.store.put(JOBS, name, job)
        if error:
            raise error
        return job

    def _provide(self, name: str, task: Json) -> None:
        world, asked = self._world, task["containers"][0]["image"]
        image = images.resolve(world, asked)
        if image is None:
            raise failed("NOT_FOUND", f"Image '{asked}' not found.")  # source: corpus img-002, as for a revision
        recipe(world, task, image, {}, serves=False, prefix=SECRETS_OF_A_JOB, volume_prefix=SECRETS_OF_A_JOB)
        world.store.put(IMAGES, name, {key: image[key] for key in ("root", "config", "digest")})

    def _run(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        name = world.name(request.name)
        world.iam.require(caller, "run.jobs.run", name)
        overrides = json_format.MessageToDict(request.overrides) if request.HasField("overrides") else {}
        if overrides:
            world.iam.require(caller, "run.jobs.runWithOverrides", name)
        job = _found(world, name)
        guard(job, request.etag)
        image, ready = world.store.get(IMAGES, name), job["terminalCondition"]
        if image is None or ready["state"] == "CONDITION_FAILED":
            why = f"Job '{name.rpartition('/')[2]}' is not ready to be run. {ready.get('message', '')}"
            raise failed("FAILED_PRECONDITION", why.strip())  # guess
        template = overridden(job["template"], overrides)
        if overrides:
            check({**job, "template": template}, name.rpartition("/")[2], dry=False)
            check_job_quota(template, self._quota())
        execution = new_execution(world, {**job, "template": template}, caller, image)
        if request.validate_only:
            told = execution_message(execution)
            return world.operations.done(name.partition("/jobs/")[0], told, told)
        keep(world, execution, image)
        return self._life.start(execution["name"])

    def _delete(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        name = world.name(request.name)
        world.iam.require(caller, "run.jobs.delete", name)
        job = _found(world, name)
        guard(job, request.etag)
        parent = name.partition("/jobs/")[0]
        if request.validate_only:
            return world.operations.done(parent, _message(job), _message(job))
        # out of sight at once, like a service
        world.store.delete(JOBS, name)
        gone = {**job, "deleteTime": stamp(world.clock.now())}

        def work() -> Any:
            for full, _ in world.store.items(EXECUTIONS):
                if full.startswith(f"{name}/executions/"):
                    self._life.forget(full)
            world.store.delete(IMAGES, name)
            world.iam.forget(name)
            return _message(gone)

        return world.operations.start(parent, _message(gone), work)

    # --- reading
    def _read(self, world: World, caller: str, request: Any) -> Any:
        name = world.name(request.name)
        world.iam.require(caller, "run.jobs.get", name)
        return _message(_found(world, name))

    def _list(self, world: World, caller: str, request: Any) -> Any:
        parent = world.name(request.parent)
        world.iam.require(caller, "run.jobs.list", parent)
        region = parent.split("/")[3]
        rows = [job for name, job in world.store.items(JOBS) if region in ("-", name.split("/")[3])]
        shown, token = page(rows, request.page_size, request.page_token)
        answer = api.ListJobsResponse.pb(api.ListJobsResponse(next_page_token=token))
        answer.jobs.extend(_message(job) for job in shown)
        return answer


def _found(world: World, name: str) -> Json:
    job = world.store.get(JOBS, name)
    if job is None:
        raise missing(name, "JOB")
    return job


def _ignore(_job: Json) -> None:
    """It is there: that was the question."""


def _message(job: Json) -> Any:
    return json_format.ParseDict(job, api.Job.pb(api.Job()))
