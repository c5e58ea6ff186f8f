"""What every cloud does with jobs, their executions and tasks; the rest of the contract is in suite.py."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Cloud, Json, PolicyTarget

REGION = "us-central1"
LONGEST = 30.0
"""Seconds until a job that does nothing must be over."""


def until(ready: Callable[[], bool]) -> None:
    """Ask until it is so."""
    end = time.monotonic() + LONGEST
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


class JobsContract:
    """Mix it in where there is a fixture `cloud`, and `image`: one in that cloud that ends with 0 at once."""

    def body(self, image: str, **task: object) -> Json:
        return {"labels": {"a": "b"}, "template": {"taskCount": 1, "template": {"containers": [{"image": image}], **task}}}

    def test_a_jobs_life(self, cloud: Cloud, image: str) -> None:
        """Made once, with the server's defaults; replaced as a whole under its etag; deleted, and again without a word."""
        parent = f"projects/{cloud.project}/locations/{REGION}"
        name = f"{parent}/jobs/tune"
        assert cloud.jobs.get(name) is None
        assert cloud.jobs.list(REGION) == ()
        assert cloud.jobs.create(parent, "tune", self.body(image), validate_only=True) == ""
        assert cloud.jobs.get(name) is None
        operation = cloud.jobs.create(parent, "tune", self.body(image, timeout="60s"))
        until(lambda: cloud.jobs.finished(operation))
        job = cloud.jobs.get(name) or {}
        task = job["template"]["template"]
        assert (job["name"], job["labels"], job["generation"], job["launchStage"]) == (name, {"a": "b"}, "1", "GA")
        assert (task["timeout"], task["maxRetries"], job["template"]["taskCount"]) == ("60s", 3, 1)
        assert task["serviceAccount"] == f"{cloud.number()}-compute@developer.gserviceaccount.com"
        assert job["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
        assert [one["name"] for one in cloud.jobs.list(REGION)] == [name]
        assert cloud.jobs.list("europe-west4") == ()
        with pytest.raises(Trouble) as twice:
            cloud.jobs.create(parent, "tune", self.body(image))
        assert twice.value.facts["status"] == 409
        new = {**self.body(image, maxRetries=5), "name": name, "labels": {}}
        assert cloud.jobs.update({**new, "etag": job["etag"]}, validate_only=True) == ""
        operation = cloud.jobs.update({**new, "etag": job["etag"]})
        until(lambda: cloud.jobs.finished(operation))
        changed = cloud.jobs.get(name) or {}
        assert (changed.get("labels", {}), changed["template"]["template"]["maxRetries"]) == ({}, 5)
        assert (changed["template"]["template"]["timeout"], changed["generation"]) == ("600s", "2")
        with pytest.raises(Trouble) as stale:
            cloud.jobs.update({**new, "etag": job["etag"]})
        assert stale.value.facts["status"] == 409
        operation = cloud.jobs.delete(name)
        until(lambda: cloud.jobs.finished(operation))
        assert cloud.jobs.get(name) is None
        assert cloud.jobs.finished(cloud.jobs.delete(name))

    def test_an_executions_life(self, cloud: Cloud, image: str) -> None:
        """A run has an execution with one task; both say how it ended; the newest is first; one that ended can't be cancelled."""
        parent = f"projects/{cloud.project}/locations/{REGION}"
        name = f"{parent}/jobs/tune"
        operation = cloud.jobs.create(parent, "tune", self.body(image))
        until(lambda: cloud.jobs.finished(operation))
        etag = (cloud.jobs.get(name) or {})["etag"]
        with pytest.raises(Trouble) as stale:
            cloud.jobs.run(name, etag='"other"')
        assert stale.value.facts["status"] == 409
        assert cloud.jobs.executions(name) == ()
        operation = cloud.jobs.run(name, etag=etag)
        first = cloud.jobs.started(operation)
        assert first.startswith(f"{name}/executions/tune-")
        until(lambda: cloud.jobs.finished(operation))
        execution = cloud.jobs.execution(first) or {}
        assert (execution["name"], execution["job"], execution["taskCount"]) == (first, "tune", 1)
        assert (execution["succeededCount"], execution.get("runningCount", 0), execution.get("failedCount", 0)) == (1, 0, 0)
        completed = next(c for c in execution["conditions"] if c["type"] == "Completed")
        assert completed["state"] == "CONDITION_SUCCEEDED"
        assert execution["completionTime"] >= execution["startTime"]
        (task,) = cloud.jobs.tasks(first)
        assert (task["name"], task["execution"]) == (
            f"{first}/tasks/{first.rpartition('/')[2]}-task0",
            first.rpartition("/")[2],
        )
        assert task["lastAttemptResult"].get("exitCode", 0) == 0
        operation = cloud.jobs.run(name)
        second = cloud.jobs.started(operation)
        until(lambda: cloud.jobs.finished(operation))
        assert [one["name"] for one in cloud.jobs.executions(name)] == [second, first]
        job = cloud.jobs.get(name) or {}
        assert (job["executionCount"], job["latestCreatedExecution"]["name"]) == (2, second.rpartition("/")[2])
        with pytest.raises(Trouble) as over:
            cloud.jobs.cancel(first)
        assert over.value.facts["status"] == 400
        operation = cloud.jobs.delete_execution(first)
        until(lambda: cloud.jobs.finished(operation))
        assert [one["name"] for one in cloud.jobs.executions(name)] == [second]
        assert cloud.jobs.finished(cloud.jobs.delete_execution(first))

    def test_jobs_that_are_not_there(self, cloud: Cloud) -> None:
        """They, their executions and tasks are None or empty; running one fails as 404."""
        name = f"projects/{cloud.project}/locations/{REGION}/jobs/none"
        assert cloud.jobs.execution(f"{name}/executions/none-abc") is None
        assert cloud.jobs.executions(name) == ()
        assert cloud.jobs.tasks(f"{name}/executions/none-abc") == ()
        with pytest.raises(Trouble) as missing:
            cloud.jobs.run(name)
        assert missing.value.facts["status"] == 404

    def test_a_jobs_policy(self, cloud: Cloud, image: str) -> None:
        """A job has an IAM policy of its own; the owner may run it."""
        parent = f"projects/{cloud.project}/locations/{REGION}"
        operation = cloud.jobs.create(parent, "tune", self.body(image))
        until(lambda: cloud.jobs.finished(operation))
        target, role = PolicyTarget("job", f"{parent}/jobs/tune"), "roles/run.invoker"
        assert cloud.policies.members(target, role) == frozenset()
        cloud.policies.add(target, role, cloud.caller())
        assert cloud.policies.members(target, role) == {cloud.caller()}
        cloud.policies.remove(target, role, cloud.caller())
        assert cloud.policies.members(target, role) == frozenset()
        assert cloud.policies.test(target, {"run.jobs.run"}) == {"run.jobs.run"}
