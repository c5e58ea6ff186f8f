"""A Service -> the Knative YAML that `gcloud run services replace` takes. Knows no cloud."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from gemmactl.errors import refused
from gemmactl.knative import words
from gemmactl.knative.text import prepare
from gemmactl.resources.service import Service
from gemmactl.resources.service_body import GPU, PROBES, some
from gemmactl.resources.service_types import (
    Container,
    EmptyDir,
    EnvVar,
    GcsVolume,
    OtherVolume,
    Probe,
    SecretEnv,
    SecretVolume,
    Traffic,
    Volume,
)

_DOLLAR: Final = "\ud800"
"""No text holds half a pair, and YAML can't print it: it forces quotes and an escape. `$NAME` in a value is written
"\\x24NAME", which every reader of YAML takes for a dollar and neither gemmactl nor envsubst for a variable."""


def write(service: Service, heading: Iterable[str] = ()) -> str:
    """The document as text; `heading` becomes comments.

    Raises:
        Trouble: (refused) the service has a part that the form has no word for.
    """
    import yaml

    secrets = _Secrets()
    document = _document(service, secrets)

    class Dumper(yaml.SafeDumper):
        """Puts quotes around what gemmactl's reader would repair outside of them."""

        ESCAPE_REPLACEMENTS = {**yaml.SafeDumper.ESCAPE_REPLACEMENTS, _DOLLAR: "x24"}  # type: ignore[misc]  # noqa: RUF012 - the emitter's own

    Dumper.add_representer(str, _quoted)
    body = yaml.dump(_guarded(document), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"# {line}\n" for line in heading) + body


def _quoted(dumper: Any, value: str) -> Any:
    odd = "\x85" in value or prepare(f"a: {value}").notes  # x85: a line end, which single quotes would fold into a space
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, '"' if odd else None)


def _document(service: Service, secrets: _Secrets) -> dict[str, Any]:
    outer = _texts(
        {
            words.INGRESS: _partner(words.INGRESSES, service.ingress),
            words.LAUNCH_STAGE: service.launch_stage,
            words.INVOKER_IAM_DISABLED: service.invoker_iam_disabled or None,
        }
    )
    labels = {words.LOCATION: service.region, **dict(service.labels or ())}
    metadata = some(name=service.name, labels=labels, annotations=outer or None)
    spec = some(
        containerConcurrency=service.concurrency,
        timeoutSeconds=service.timeout,
        serviceAccountName=service.service_account,
        nodeSelector={words.ACCELERATOR: service.gpu_type} if service.gpu_type else None,
        containers=[_container(box, secrets) for box in service.containers or ()],
        volumes=[_volume(one, secrets) for one in service.volumes or ()] or None,
    )
    template = some(labels=dict(service.template_labels or ()) or None, annotations=_revision(service, secrets) or None)
    return {
        "apiVersion": words.API_VERSION,
        "kind": words.KIND,
        "metadata": metadata,
        "spec": some(
            template=some(metadata=template or None, spec=spec),
            traffic=[_traffic(one) for one in service.traffic or ()] or None,
        ),
    }


def _revision(service: Service, secrets: _Secrets) -> dict[str, str]:
    boxes = service.containers or ()
    sizes = [box.resources for box in boxes if box.resources]
    scaling, vpc = service.scaling, service.vpc
    interface = some(network=vpc.network, subnetwork=vpc.subnetwork, tags=list(vpc.tags or ()) or None) if vpc else {}
    order = {box.name: list(box.depends_on) for box in boxes if box.depends_on}
    if len({(size.cpu_idle, size.startup_cpu_boost) for size in sizes}) > 1:
        raise refused(
            "this service can't be written as YAML",
            why="its containers differ in CPU throttling or start-up boost, which the Knative form says once for all of them",
            remedy="make them alike; `gcloud run services describe NAME --format=export` loses the difference",
            code="export-impossible",
        )
    return _texts(
        {
            words.MIN_SCALE: (scaling.min_instances or None) if scaling else None,
            words.MAX_SCALE: scaling.max_instances if scaling else None,
            words.EXECUTION_ENVIRONMENT: _partner(words.ENVIRONMENTS, service.execution_environment),
            words.THROTTLING: bool(sizes[0].cpu_idle) if sizes else None,
            words.BOOST: sizes[0].startup_cpu_boost or None if sizes else None,
            words.REDUNDANCY_DISABLED: service.gpu_zonal_redundancy_disabled or None,
            words.INTERFACES: json.dumps([interface], separators=(",", ":")) if interface else None,
            words.EGRESS: _partner(words.EGRESSES, vpc.egress) if vpc else None,
            words.CONNECTOR: vpc.connector if vpc else None,
            words.DEPENDENCIES: json.dumps(order, separators=(",", ":")) if order else None,
            words.SECRETS: secrets.text or None,
        }
    )


def _container(box: Container, secrets: _Secrets) -> dict[str, Any]:
    limits = some(cpu=box.resources.cpu, memory=box.resources.memory, **{GPU: box.resources.gpu}) if box.resources else {}
    return some(
        name=box.name,
        image=str(box.image),
        command=list(box.command or ()) or None,
        args=list(box.args or ()) or None,
        workingDir=box.working_dir,
        env=[_variable(one, secrets) for one in box.env or ()] or None,
        resources={"limits": limits} if limits else None,
        ports=[some(name=port.name, containerPort=port.container_port) for port in box.ports or ()] or None,
        startupProbe=_probe(box.startup_probe),
        livenessProbe=_probe(box.liveness_probe),
        volumeMounts=[{"name": one.name, "mountPath": one.path} for one in box.mounts or ()] or None,
    )


def _variable(variable: EnvVar | SecretEnv, secrets: _Secrets) -> dict[str, Any]:
    if isinstance(variable, EnvVar):
        return {"name": variable.name, "value": variable.value}
    reference = {"key": str(variable.version), "name": secrets.alias(variable.secret)}
    return {"name": variable.name, "valueFrom": {"secretKeyRef": reference}}


def _probe(probe: Probe | None) -> dict[str, Any] | None:
    if probe is None:
        return None
    headers = [{"name": name, "value": value} for name, value in probe.headers or ()] or None
    return some(
        initialDelaySeconds=probe.initial_delay or None,
        timeoutSeconds=probe.timeout,
        periodSeconds=probe.period,
        failureThreshold=probe.failures,
        **{PROBES[probe.kind]: some(path=probe.path, port=probe.port, service=probe.service, httpHeaders=headers)},
    )


def _volume(volume: Volume, secrets: _Secrets) -> dict[str, Any]:
    match volume:
        case GcsVolume():
            attributes = some(bucketName=volume.bucket, mountOptions=",".join(volume.mount_options) or None)
            csi = some(driver=words.GCSFUSE, readOnly=volume.read_only or None, volumeAttributes=attributes)
            return {"name": volume.name, "csi": csi}
        case SecretVolume():
            items = [{"key": str(item.version), "path": item.path} for item in volume.items]
            return {"name": volume.name, "secret": some(secretName=secrets.alias(volume.secret), items=items or None)}
        case EmptyDir():
            medium = None if volume.medium is None else volume.medium.capitalize()
            return {"name": volume.name, "emptyDir": some(medium=medium, sizeLimit=volume.size)}
        case OtherVolume():
            return {"name": volume.name, **json.loads(volume.text)}


def _traffic(traffic: Traffic) -> dict[str, Any]:
    where = {"revisionName": traffic.revision} if traffic.revision else {"latestRevision": True}
    return some(**where, percent=traffic.percent, tag=traffic.tag)


class _Secrets:
    """Secrets of other projects go by an alias; the annotation says what each stands for."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def alias(self, secret: str) -> str:
        """The name to write."""
        if not secret.startswith("projects/"):
            return secret
        return self._known.setdefault(secret, f"alias-{len(self._known) + 1}-{secret.rpartition('/')[2]}"[:63])

    @property
    def text(self) -> str:
        return ",".join(f"{alias}:{full}" for full, alias in self._known.items())


def _partner(pairs: Any, value: str | None) -> str | None:
    """The word of the form for a word of the API."""
    return next((word for word, partner in pairs.items() if partner == value), None)


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """Annotations are texts, `true` too."""
    return {
        key: (str(value).lower() if isinstance(value, bool) else str(value)) for key, value in values.items() if value is not None
    }


def _guarded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _guarded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_guarded(one) for one in value]
    return re.sub(r"\$(?=[$A-Za-z_{])", _DOLLAR, value) if isinstance(value, str) else value
