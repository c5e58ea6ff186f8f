"""A cloud in memory with a fine-tune in it: job, bucket, the folder of a run. What a worker writes is written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from finetune_image.contract import (
    ATTEMPTS,
    CHECKPOINTS,
    COMPLETE,
    ENV_RUN,
    METRICS,
    RUN_FILE,
    RUNS,
    Kind,
    metric,
)
from finetune_image.run import File, Run, Wish
from gemmactl.resources import mark
from gemmactl.resources.cloud import BucketInfo
from gemmactl.resources.job import Job
from gemmactl.resources.service_types import Container, EnvVar
from tests.fakes.cloud import FakeCloud
from tests.fakes.executions import Ending

PROJECT, REGION, NAME = "demo-proj", "us-central1", "sql"
BUCKET = "demo-proj-gemmactl-models-us-central1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
JOB = f"{PARENT}/jobs/finetune-{NAME}"
RUN_ID = "0123456789ab"


def cloud(*, runs_on: bool = True) -> FakeCloud:
    """With the APIs and the bucket. `runs_on`: executions run until a test ends them."""
    made = FakeCloud()
    made.apis.enable(["run.googleapis.com", "storage.googleapis.com"])
    made.storage.create_bucket(BucketInfo(BUCKET, REGION))
    made.ending = Ending(polls=-1 if runs_on else 0)
    return made


def folder(run_id: str = RUN_ID, name: str = NAME) -> str:
    return f"{RUNS}/{name}/{run_id}"


def with_run(made: FakeCloud, run_id: str = RUN_ID, name: str = NAME, bucket: str = BUCKET) -> Run:
    """A run as whoever starts it writes it."""
    run = Run(run_id, run_id * 5, replace(Wish(), name=name), f"gs://{bucket}", File(f"gs://{bucket}/d.jsonl", "00", 3))
    made.storage.write(bucket, f"{folder(run_id, name)}/{RUN_FILE}", run.text().encode(), if_generation=0)
    return run


def with_job(made: FakeCloud, run_id: str = RUN_ID, name: str = NAME, **variables: str) -> Job:
    """The job that trains it."""
    env = variables or {ENV_RUN: f"gs://{BUCKET}/{folder(run_id, name)}"}
    box = Container("example.com/worker@sha256:00", env=tuple(EnvVar(key, value) for key, value in env.items()))
    labels = (*mark.OURS, (mark.NAME_LABEL, name), (mark.RUN_LABEL, run_id))
    job = Job(PROJECT, REGION, f"finetune-{name}", (box,), max_retries=3, timeout=3600, labels=tuple(sorted(labels)))
    made.jobs.create(PARENT, job.name, job.body())
    return job


def started(made: FakeCloud, job: str = JOB) -> str:
    """Full name of an execution that has begun."""
    return made.jobs.started(made.jobs.run(job))


def put(made: FakeCloud, name: str, content: Any, run_id: str = RUN_ID) -> None:
    """An object of the run's folder: bytes, or a document as JSON."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    made.storage.write(BUCKET, f"{folder(run_id)}/{name}", data)


def objects(made: FakeCloud, run_id: str = RUN_ID) -> set[str]:
    prefix = f"{folder(run_id)}/"
    return {one.name.removeprefix(prefix) for one in made.storage.list(BUCKET, prefix)}


def trained(made: FakeCloud, run_id: str = RUN_ID) -> None:
    """What a worker leaves half way: two attempts, metrics, a whole checkpoint and one that is not."""
    lines = [
        metric(Kind.PHASE, 1.0, 1, phase="training"),
        metric(Kind.TRAIN, 2.0, 2, step=20, max_steps=100, loss=1.25, lr=1e-4, tokens_per_s=1500.0, eta_s=600.0, usd=0.4),
        metric(Kind.EVAL, 3.0, 2, step=20, loss=1.5, baseline=2.5, best=1.4),
    ]
    put(made, METRICS, "".join(f"{line}\n" for line in lines).encode(), run_id)
    first = {"number": 1, "execution": "e1", "started": 1.8e9, "first": 0, "step": 12, "seconds": 3480.0, "usd": 1.0}
    second = {"number": 2, "execution": "e2", "started": 1.9e9, "first": 12, "step": 20, "seconds": 60.0, "usd": 0.25}
    attempts = ({**first, "ended": 1.9e9, "why": "deadline"}, {**second, "ended": None, "why": "killed"})
    put(made, ATTEMPTS, "".join(f"{json.dumps(one)}\n" for one in attempts).encode(), run_id)
    for step, whole in ((12, True), (20, False)):
        at = f"{CHECKPOINTS}/step-{step:06d}"
        put(made, f"{at}/adapter_model.safetensors", b"x" * 100, run_id)
        if whole:
            put(made, f"{at}/{COMPLETE}", {"step": step}, run_id)
