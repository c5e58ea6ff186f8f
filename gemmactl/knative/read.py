"""A Knative document -> a Service with every field of it. What it does not know it refuses. Knows no cloud and no file system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gemmactl.errors import usage
from gemmactl.knative import about, containers, words
from gemmactl.knative.tree import Fields, Node, parse
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import Container, Scaling, Traffic


@dataclass(frozen=True)
class Read:
    """A file as a wish. `service` has no project yet, and no region unless the file names one."""

    service: Service
    file: str
    notes: tuple[str, ...] = ()
    """What was repaired or left out, one sentence each."""
    namespace: str = ""
    """The project's id or number, where the file says one."""

    @property
    def region(self) -> str:
        return self.service.region


def read(raw: str, file: str, environ: Mapping[str, str]) -> Read:
    """Read one service.

    Raises:
        Trouble: (usage) not YAML, variables that are not set, or fields that are unknown or illegal, with their lines.
    """
    root, repaired = parse(raw, file, environ)
    notes = list(repaired)
    top = root.fields()
    version, kind = top.must("apiVersion").text(), top.must("kind").text()
    if (version, kind) != (words.API_VERSION, words.KIND):
        raise usage(
            f"{file} is not the YAML of a Cloud Run service",
            why=f"it says apiVersion {version or 'nothing'} and kind {kind or 'nothing'}; read is {words.API_VERSION} and"
            f" {words.KIND}",
            remedy="give the file that `gcloud run services replace` takes",
            code="yaml-not-a-service",
        )
    meta, spec = top.must("metadata").fields(), top.must("spec").fields()
    if top.take("status") is not None:
        notes.append("status is the server's own and left out")
    top.done()
    head = about.head(meta, notes)
    service = _spec(spec, _metadata(head), notes)
    root.complaints.end()
    return Read(service, file, tuple(notes), head.namespace)


def _metadata(head: about.Head) -> Service:
    marks = head.marks
    disabled, ingress, stage = (marks.take(name) for name in (words.INVOKER_IAM_DISABLED, words.INGRESS, words.LAUNCH_STAGE))
    marks.done(words.NOT_CARRIED)
    return Service(
        "",
        head.region,
        head.name,
        labels=head.labels,
        invoker_iam_disabled=disabled.switch() if disabled else None,
        ingress=ingress.choice(words.INGRESSES) if ingress else None,
        launch_stage=stage.choice(words.STAGES) if stage else None,
    )


def _spec(spec: Fields, service: Service, notes: list[str]) -> Service:
    template = spec.must("template").fields()
    traffic = spec.take("traffic")
    spec.done(words.NOT_CARRIED)
    inner, pod = about.inner(template)
    if inner.take("name") is not None:
        notes.append("spec.template.metadata.name is left out: Cloud Run names each revision itself")
    labels = about.texts(about.own(inner.take("labels"), notes))
    marks = about.marks(inner, notes)
    inner.done()
    service = _revision(pod, marks, replace(service, template_labels=labels), notes)
    pod.done(words.NOT_CARRIED)
    marks.done(words.NOT_CARRIED)
    return replace(service, traffic=tuple(_traffic(one) for one in traffic.list()) if traffic else None)


def _revision(pod: Fields, marks: Fields, service: Service, notes: list[str]) -> Service:
    concurrency, timeout = pod.take("containerConcurrency"), pod.take("timeoutSeconds")
    account = pod.take("serviceAccountName")
    environment = marks.take(words.EXECUTION_ENVIRONMENT)
    redundancy = marks.take(words.REDUNDANCY_DISABLED)
    gpu = about.gpu(pod)
    aliases = about.aliases(marks.take(words.SECRETS))
    boxes = tuple(containers.container(node, aliases) for node in pod.must("containers").list())
    boxes = containers.depending(_cpu(boxes, marks, notes), marks.take(words.DEPENDENCIES))
    return replace(
        service,
        containers=boxes,
        volumes=about.volumes(pod, aliases),
        scaling=_scaling(marks),
        concurrency=concurrency.number() if concurrency else None,
        timeout=timeout.number() if timeout else None,
        service_account=account.text() if account else None,
        gpu_type=gpu,
        gpu_zonal_redundancy_disabled=redundancy.switch() if redundancy else None,
        execution_environment=environment.choice(words.ENVIRONMENTS) if environment else None,
        vpc=about.vpc(marks),
    )


def _cpu(boxes: tuple[Container, ...], marks: Fields, notes: list[str]) -> tuple[Container, ...]:
    """The two annotations about the CPU are each container's own in v2."""
    throttling, boost = marks.take(words.THROTTLING), marks.take(words.BOOST)
    has_gpu = any(box.resources and box.resources.gpu for box in boxes)
    idle = throttling.switch() if throttling else not has_gpu
    if throttling and idle and has_gpu:
        throttling.bad("must be false: with a GPU the CPU is always on, Cloud Run refuses anything else")
    if throttling is None and has_gpu:
        notes.append(f"{words.THROTTLING} is not there; with a GPU the CPU is always on, so it is read as false")
    boosted = boost.switch() if boost else False
    return tuple(
        replace(box, resources=replace(box.resources, cpu_idle=idle, startup_cpu_boost=boosted)) if box.resources else box
        for box in boxes
    )


def _scaling(marks: Fields) -> Scaling | None:
    least, most = marks.take(words.MIN_SCALE), marks.take(words.MAX_SCALE)
    if least is None and most is None:
        return None
    return Scaling(least.number() if least else 0, most.number() if most else None)


def _traffic(node: Node) -> Traffic:
    part = node.fields()
    percent, latest, revision, tag = (part.take(name) for name in ("percent", "latestRevision", "revisionName", "tag"))
    part.take("url")  # the server's own
    part.done()
    newest = latest.switch() if latest else False
    if newest == (revision is not None):
        node.bad("must have one of latestRevision: true and revisionName")
    return Traffic(percent.number() if percent else 0, revision.text() if revision else None, tag.text() if tag else None)
