"""A Cloud Run job: containers that run to their end, with retries. Knows no execution of it and nothing of fine-tuning."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import agrees
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import job_body, job_rules, mark, service_show
from gemmactl.resources.cloud import Cloud, Json
from gemmactl.resources.dry_run import dry_run
from gemmactl.resources.pace import pauses
from gemmactl.resources.service_rollout import TRIES, conflict
from gemmactl.resources.service_state import state
from gemmactl.resources.service_trouble import denied
from gemmactl.resources.service_types import Container, Volume, Vpc

WISHES: Final = (
    "containers", "volumes", "parallelism", "task_count", "max_retries", "timeout", "service_account", "gpu_type",
    "gpu_zonal_redundancy_disabled", "execution_environment", "encryption_key", "vpc", "labels", "annotations", "launch_stage",
)  # fmt: skip


@dataclass(frozen=True)
class Job(Resource):
    """A change is for executions that begin after it: one that runs keeps what it was started with.

    `ready` is a wish like the others: a job that Cloud Run could not make ready (an image or a secret that it may not read)
    is not as wished.
    """

    kind: ClassVar[str] = "job"

    project: str
    region: str
    name: str
    containers: tuple[Container, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    parallelism: int | None = None
    """Tasks at a time; 0: as many as there are."""
    task_count: int | None = None
    max_retries: int | None = None
    """Attempts of a task after the first one."""
    timeout: int | None = None
    """Seconds that one attempt may take."""
    service_account: str | None = None
    gpu_type: str | None = None
    gpu_zonal_redundancy_disabled: bool | None = None
    execution_environment: str | None = None
    encryption_key: str | None = None
    vpc: Vpc | None = None
    labels: mark.Pairs | None = None
    annotations: mark.Pairs | None = None
    launch_stage: str | None = None
    ready: bool | None = True
    after: tuple[str, ...] = field(default=(), compare=False)
    live: Json | None = field(default=None, compare=False, repr=False)
    """The v2 JSON that a live twin was read from."""

    @property
    def full_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/jobs/{self.name}"

    @property
    def address(self) -> str:
        return f"job {self.region}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def read(self, cloud: Cloud) -> Job | None:
        body = cloud.jobs.get(self.full_name)
        return None if body is None else parse(self, body)

    def create(self, cloud: Cloud, work: Work) -> None:
        body, parent = self.body(), f"projects/{self.project}/locations/{self.region}"
        with self._dry_run():
            cloud.jobs.create(parent, self.name, body, validate_only=True)
        self._finish(cloud, work, cloud.jobs.create(parent, self.name, body))

    def update(self, cloud: Cloud, live: Job, work: Work) -> None:
        pace = pauses()
        for attempt in range(TRIES):
            changed = self.changed(live)
            if not changed:  # the plan spoke of an image by its tag, and it was built to the digest that is there already
                return None
            if changed == {"ready"} and state(live.live or {}).reconciling:
                return self._settle(cloud, work)
            body = self.patch(live)
            try:
                with self._dry_run():
                    cloud.jobs.update(body, validate_only=True)
                operation = cloud.jobs.update(body)
            except Trouble as trouble:
                if not conflict(trouble) or attempt == TRIES - 1:
                    raise
                work.wait(next(pace))
                live = self.read(cloud) or live
            else:
                return self._finish(cloud, work, operation)
        return None

    def delete(self, cloud: Cloud, live: Job, work: Work) -> None:
        operation = cloud.jobs.delete(self.full_name)
        pace = pauses()
        while operation and not cloud.jobs.finished(operation):
            work.wait(next(pace))

    def ours(self, cloud: Cloud, live: Job) -> bool:
        return mark.marked((live.live or {}).get("labels", {}))

    def diff_text(self, name: str, value: object) -> str:
        if name == "ready":
            return "ready" if value else "Cloud Run could not make it ready"
        return service_show.text(name, value, getattr(self, name))

    def diff(self, name: str, live: Any, wanted: Any) -> tuple[tuple[str, str, str], ...]:
        if name == "containers" and live and wanted and len(live) == len(wanted):
            return tuple(row for i, pair in enumerate(zip(live, wanted, strict=True)) for row in service_show.parts(i, *pair))
        return super().diff(name, live, wanted)

    def changed(self, live: Job) -> set[str]:
        """Names of the fields in which the live job is not as wished."""
        return {n for n in ("ready", *WISHES) if not agrees(getattr(self, n), getattr(live, n))}

    def body(self) -> Json:
        """The wishes as v2 JSON, as they are sent to make it."""
        return job_body.sent(job_body.job_json(self))

    def patch(self, live: Job) -> Json:
        """Body of a PATCH, which replaces all: the live job with the wishes laid over it, and what it was read as to guard it."""
        return {**job_body.sent(job_body.laid_over(live.live or {}, job_body.job_json(self))), "name": self.full_name}

    def _dry_run(self) -> AbstractContextManager[None]:
        return dry_run(self.kind, self.name, job_rules.violations(self), "can't run")

    def _finish(self, cloud: Cloud, work: Work, operation: str) -> None:
        pace = pauses()
        try:
            while operation and not cloud.jobs.finished(operation):
                work.wait(next(pace))
        except Trouble as trouble:
            # a grant of this very run may not be in effect yet: Cloud Run looks at image and secrets as whoever runs them
            if not trouble.facts.get("denied") and denied(str(trouble.facts.get("message") or trouble.why)):
                trouble.facts["denied"] = True
            raise
        self._settle(cloud, work)

    def _settle(self, cloud: Cloud, work: Work) -> None:
        """Wait until the job itself says how it fares."""
        for pause in pauses():
            now = state(cloud.jobs.get(self.full_name) or {})
            if not now.reconciling:
                break
            work.wait(pause)
        if not now.ready:
            raise Trouble(
                f"job {self.name} did not become ready",
                why=now.message or "Cloud Run gave no reason",
                remedy="gemmactl doctor explains it",
                code="job-not-ready",
                exit=Exit.GATE,
                facts={"message": now.message, "condition": now.reason, "denied": denied(now.message, now.reason)},
            )


def parse(wish: Job, body: Json) -> Job:
    """The live twin."""
    found = job_body.parts_of(body, wish.labels, wish.annotations)
    return replace(wish, **found, ready=state(body).ready, after=(), live=copy.deepcopy(body))
