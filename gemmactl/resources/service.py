"""A Cloud Run service: revisions, traffic, tags, volumes, any number of containers. Knows nothing of models."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from gemmactl.errors import Trouble
from gemmactl.kernel.plan import agrees
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import mark, service_body, service_rules, service_show, service_traffic
from gemmactl.resources.cloud import Cloud, Json
from gemmactl.resources.dry_run import dry_run
from gemmactl.resources.pace import pauses
from gemmactl.resources.service_merge import merge, renewed
from gemmactl.resources.service_rollout import TRIES, Rollout, amend, conflict, finish, gone, overtaken, settle
from gemmactl.resources.service_state import state
from gemmactl.resources.service_types import Container, Scaling, Traffic, Volume, Vpc

KEYS: Final = {
    "labels": "labels",
    "traffic": "traffic",
    "invoker_iam_disabled": "invokerIamDisabled",
    "ingress": "ingress",
    "launch_stage": "launchStage",
}
"""Fields that live beside the template: changing one of them makes no new revision."""
REVISION: Final = "new revision"


@dataclass(frozen=True)
class Service(Resource):
    """`ready` is a wish like the others: a service whose last rollout failed is not as wished, nor is one whose newest
    revision still waits for its smoke test (`tested`).
    """

    kind: ClassVar[str] = "service"
    # the probe's 240 s of delay + 1800 s of tries (the most a GPU service may have), 900 s of the smoke test's patience,
    # and 300 s around them
    limit: ClassVar[float] = 240.0 + 1800.0 + 900.0 + 300.0

    project: str
    region: str
    name: str
    containers: tuple[Container, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    scaling: Scaling | None = None
    concurrency: int | None = None
    timeout: int | None = None
    """Seconds that one request may take."""
    service_account: str | None = None
    gpu_type: str | None = None
    gpu_zonal_redundancy_disabled: bool | None = None
    execution_environment: str | None = None
    encryption_key: str | None = None
    vpc: Vpc | None = None
    traffic: tuple[Traffic, ...] | None = None
    labels: mark.Pairs | None = None
    template_labels: mark.Pairs | None = None
    """Labels of each revision."""
    invoker_iam_disabled: bool | None = None
    ingress: str | None = None
    launch_stage: str | None = None
    ready: bool | None = True
    tested: bool | None = True
    rollout: Rollout | None = field(default=None, compare=False, repr=False)
    """How a new revision comes to serve; None: at once."""
    after: tuple[str, ...] = field(default=(), compare=False)
    live: Json | None = field(default=None, compare=False, repr=False)
    """The v2 JSON that a live twin was read from."""

    @property
    def full_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/services/{self.name}"

    @property
    def address(self) -> str:
        return f"service {self.region}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def read(self, cloud: Cloud) -> Service | None:
        body = cloud.run.get(self.full_name)
        return None if body is None else parse(self, body)

    def create(self, cloud: Cloud, work: Work) -> None:
        body = service_body.lean(self.body())
        if self._staged:
            body.pop("invokerIamDisabled", None)  # nobody gets in before it is proven
        if self._held:
            body["traffic"] = service_traffic.first()
        parent = f"projects/{self.project}/locations/{self.region}"
        with self._dry_run():
            cloud.run.create(parent, self.name, body, validate_only=True)
        operation = cloud.run.create(parent, self.name, body)
        self._finish(cloud, work, operation)

    def update(self, cloud: Cloud, live: Service, work: Work) -> None:
        pace = pauses()
        for attempt in range(TRIES):
            changed = self.changed(live)
            if not changed:  # the plan spoke of an image by its tag, and it was built to the digest that runs already
                return None  # an empty mask would mean: replace the whole service
            now = changed - self._later(live)
            if now <= {"ready"} and state(live.live or {}).reconciling:
                work.progress("a rollout is under way: waiting for it")
                if self._unattended:
                    return None
                settle(cloud, work, self.full_name)
                return self._release(cloud, work)
            if not now:
                return self._release(cloud, work)
            try:
                body, mask = self.patch(live, now)
                with self._dry_run():
                    cloud.run.update(body, mask, validate_only=True)
                operation = cloud.run.update(body, mask)
            except Trouble as trouble:
                if not conflict(trouble) or attempt == TRIES - 1:
                    raise
                work.wait(next(pace))
                live = self.read(cloud) or live
            else:
                return self._finish(cloud, work, operation)
        return None

    def delete(self, cloud: Cloud, live: Service, work: Work) -> None:
        operation = cloud.run.delete(self.full_name)
        pace = pauses()
        while not cloud.run.finished(operation):
            work.wait(next(pace))

    def ours(self, cloud: Cloud, live: Service) -> bool:
        return mark.marked((live.live or {}).get("labels", {}))

    def effect(self, name: str) -> str:
        return "" if name in KEYS else REVISION

    def diff_text(self, name: str, value: object) -> str:
        return service_show.text(name, value, getattr(self, name))

    def diff(self, name: str, live: Any, wanted: Any) -> tuple[tuple[str, str, str], ...]:
        if name == "containers" and live and wanted and len(live) == len(wanted):
            return tuple(row for i, pair in enumerate(zip(live, wanted, strict=True)) for row in service_show.parts(i, *pair))
        return super().diff(name, live, wanted)

    def changed(self, live: Service) -> set[str]:
        """Names of the fields in which the live service is not as wished."""
        names = ("ready", "tested", *KEYS, *_TEMPLATE)
        return {n for n in names if not agrees(getattr(self, n), getattr(live, n))}

    def body(self) -> Json:
        """The wishes as v2 JSON, false and 0 included."""
        template = service_body.some(
            labels=dict(self.template_labels) if self.template_labels else None,
            scaling=service_body.scaling_json(self.scaling),
            vpcAccess=service_body.vpc_json(self.vpc),
            timeout=None if self.timeout is None else f"{self.timeout}s",
            serviceAccount=self.service_account,
            containers=None if self.containers is None else [service_body.container_json(c) for c in self.containers],
            volumes=None if self.volumes is None else [service_body.volume_json(v) for v in self.volumes],
            executionEnvironment=self.execution_environment,
            encryptionKey=self.encryption_key,
            maxInstanceRequestConcurrency=self.concurrency,
            nodeSelector=None if self.gpu_type is None else {"accelerator": self.gpu_type},
            gpuZonalRedundancyDisabled=self.gpu_zonal_redundancy_disabled,
        )
        return service_body.some(
            labels=dict(self.labels) if self.labels else None,
            ingress=self.ingress,
            launchStage=self.launch_stage,
            template=template,
            traffic=None if self.traffic is None else [service_body.traffic_json(t) for t in self.traffic],
            invokerIamDisabled=self.invoker_iam_disabled,
        )

    def patch(self, live: Service, changed: set[str]) -> tuple[Json, tuple[str, ...]]:
        """Body and mask of a PATCH that changes these fields and keeps all the rest as it is."""
        old = live.live or {}
        new = service_body.lean(merge(old, self.body()))
        now = state(old)
        mask = {KEYS.get(name, "template") for name in changed}
        if "template" in mask:
            new["template"] = renewed(new.get("template", {}), "" if now.ready else now.created_revision)
            if self._held and service_traffic.shares(old) and not service_traffic.begins(old):
                new["traffic"] = service_traffic.held(old)
                mask.add("traffic")
            elif self._staged and self.traffic is None and not self._held:  # at once, also where a rollback had named another
                new |= {"traffic": service_traffic.to_newest(old), "annotations": service_traffic.remembered(old)}
                mask |= {"traffic", "annotations"}
        body = {"name": self.full_name, **({"etag": old["etag"]} if "etag" in old else {})}
        return {**body, **{key: new[key] for key in sorted(mask) if key in new}}, tuple(sorted(mask))

    @property
    def _staged(self) -> bool:
        """Whether a new revision is to be proven before it serves."""
        return self.rollout is not None

    @property
    def _held(self) -> bool:
        """Whether it waits without requests; not where somebody's own traffic is wished, or no tag fits the name."""
        return self._staged and self.traffic is None and service_traffic.taggable(self.name)

    @property
    def _unattended(self) -> bool:
        return self.rollout is not None and not self.rollout.wait

    def _later(self, live: Service) -> set[str]:
        """What is not written until the newest revision is proven: its requests, and the door to everybody."""
        opens = self._staged and bool(self.invoker_iam_disabled) and not live.invoker_iam_disabled
        return {"tested", *(("invoker_iam_disabled",) if opens else ())}

    def _dry_run(self) -> AbstractContextManager[None]:
        return dry_run(self.kind, self.name, service_rules.violations(self), "would not become ready")

    def _finish(self, cloud: Cloud, work: Work, operation: str) -> None:
        work.progress("rolling out")
        if self._unattended:
            return
        finish(cloud, work, self.full_name, operation)
        if self._staged:
            self._release(cloud, work)

    def _release(self, cloud: Cloud, work: Work) -> None:
        """Prove the newest revision, then let requests and callers in as far as they are wished."""
        live = self.read(cloud)
        if live is None:
            raise gone(self.full_name)
        body, changed = live.live or {}, self.changed(live)
        if others := changed - self._later(live):
            raise overtaken(self.full_name, f"it changed {', '.join(sorted(others))}")
        if not changed or self._unattended:
            return
        work.wait(0, leavable=True)  # who left meanwhile is asked for nothing more
        if self.rollout is not None and self.rollout.prove is not None:
            self.rollout.prove(body, work)
            work.wait(0, leavable=True)
        proven = state(body).ready_revision
        work.progress("giving it its requests")
        amend(cloud, work, self.full_name, lambda now: self._released(now, proven))

    def _released(self, body: Json, proven: str) -> Json:
        """The fields that let `proven` in. Another revision may have come since: that one is not ours to let in."""
        now = state(body)
        fields: Json = {}
        if now.reconciling or now.ready_revision != proven:
            raise overtaken(self.full_name, f"its newest revision is {now.created_revision}, and {proven} was proven")
        if service_traffic.untested(body):
            share = 100 if self.rollout is None else self.rollout.share
            whole = share == 100
            fields["traffic"] = service_traffic.to_newest(body) if whole else service_traffic.split(body, proven, share)
            fields["annotations"] = service_traffic.remembered(body)
        if self.invoker_iam_disabled and not body.get("invokerIamDisabled"):
            fields["invokerIamDisabled"] = True
            (self.rollout or Rollout()).opens(body, fields)
        return fields


_TEMPLATE: Final = (
    "containers", "volumes", "scaling", "concurrency", "timeout", "service_account", "gpu_type",
    "gpu_zonal_redundancy_disabled", "execution_environment", "encryption_key", "vpc", "template_labels",
)  # fmt: skip


def parse(wish: Service, body: Json) -> Service:
    """The live twin. Labels are those that the wish speaks of; everything else is complete."""
    template: Json = body.get("template", {})
    return replace(
        wish,
        containers=tuple(service_body.container_of(c) for c in template.get("containers", [])),
        volumes=tuple(service_body.volume_of(v) for v in template.get("volumes", [])),
        scaling=service_body.scaling_of(template.get("scaling", {})),
        concurrency=template.get("maxInstanceRequestConcurrency"),
        timeout=service_body.seconds(template.get("timeout")),
        service_account=template.get("serviceAccount"),
        gpu_type=template.get("nodeSelector", {}).get("accelerator"),
        gpu_zonal_redundancy_disabled=bool(template.get("gpuZonalRedundancyDisabled")),
        execution_environment=template.get("executionEnvironment"),
        encryption_key=template.get("encryptionKey"),
        vpc=service_body.vpc_of(template.get("vpcAccess")),
        traffic=tuple(service_body.traffic_of(t) for t in body.get("traffic", [])),
        labels=mark.wished(wish.labels, body.get("labels", {})),
        template_labels=mark.wished(wish.template_labels, template.get("labels", {})),
        invoker_iam_disabled=bool(body.get("invokerIamDisabled")),
        ingress=body.get("ingress"),
        launch_stage=body.get("launchStage"),
        ready=state(body).ready,
        tested=not service_traffic.untested(body),
        after=(),
        live=_copy(body),
    )


def _copy(body: Any) -> Any:
    if isinstance(body, dict):
        return {k: _copy(v) for k, v in body.items()}
    return [_copy(v) for v in body] if isinstance(body, list) else body
