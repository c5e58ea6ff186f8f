"""An execution of a job and its tasks as they are before anything runs. Knows no process."""

from __future__ import annotations

import copy
import random
import string
import uuid
from typing import TYPE_CHECKING, Any

from gemmactl.sandbox import images
from gemmactl.sandbox.blobs import stamp
from gemmactl.sandbox.execution_life import EXECUTIONS, IMAGES, JOBS, TASKS
from gemmactl.sandbox.execution_words import condition
from gemmactl.sandbox.run_etags import new_etag

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]


def new_execution(world: World, job: Json, caller: str, image: Json) -> Json:
    """Named `JOB-` and five letters or digits; its image by digest, as Cloud Run tells it."""
    now, template = stamp(world.clock.now()), job["template"]
    short_job = job["name"].rpartition("/")[2]
    short = f"{short_job}-{''.join(random.choices(string.ascii_lowercase + string.digits, k=5))}"  # noqa: S311 - a name
    task = copy.deepcopy(template["template"])
    where = images.parse(task["containers"][0]["image"])
    if where:
        task["containers"][0]["image"] = f"{where.stem}@{image['digest']}"
    return {
        **{key: template[key] for key in ("labels", "annotations", "parallelism", "taskCount") if key in template},
        "template": task,
        "name": f"{job['name']}/executions/{short}",
        "uid": str(uuid.uuid4()),
        "creator": caller.partition(":")[2],
        "generation": "1",
        "createTime": now,
        "updateTime": now,
        "launchStage": job["launchStage"],
        "job": short_job,
        "reconciling": True,
        "logUri": f"{world.base_url}/sandbox/logs?execution={short}",
        "etag": new_etag(),
        # source: a recording of gcloud run jobs executions describe
        "conditions": [
            condition("Completed", now, "Waiting for execution to complete.", state="RECONCILING"),
            condition("ContainerReady", now, "Imported container image."),
            condition("ResourcesAvailable", now, "Provisioned imported containers."),
            condition("Started", now, state="RECONCILING"),
        ],
    }


def keep(world: World, execution: Json, image: Json) -> None:
    """Store the execution with its tasks, and tell its job."""
    store, full, now = world.store, execution["name"], execution["createTime"]
    name, _, short = full.partition("/executions/")
    with store.lock:
        job = store.get(JOBS, name) or {}
        job["executionCount"] = int(job.get("executionCount", 0)) + 1
        job["latestCreatedExecution"] = {"name": short, "createTime": now, "completionStatus": "EXECUTION_RUNNING"}
        store.put(JOBS, name, job)
        store.put(IMAGES, full, image)
        store.put(EXECUTIONS, full, execution)
        for index in range(int(execution["taskCount"])):
            task = _task(execution, short, index)
            store.put(TASKS, task["name"], task)


def _task(execution: Json, short: str, index: int) -> Json:
    now = execution["createTime"]
    return {
        **execution["template"],
        "name": f"{execution['name']}/tasks/{short}-task{index}",
        "uid": str(uuid.uuid4()),
        "generation": "1",
        "createTime": now,
        "updateTime": now,
        "scheduledTime": now,
        "job": execution["job"],
        "execution": short,
        "reconciling": True,
        "conditions": [condition("Completed", now, state="RECONCILING")],
        "logUri": execution["logUri"],
        "etag": new_etag(),
        **({"index": index} if index else {}),
    }
