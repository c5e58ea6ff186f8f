"""Typed parts <-> Cloud Run v2 JSON, both ways. Knows no cloud and makes no decision."""

from __future__ import annotations

import json
from typing import Any, Final

from gemmactl.kernel.reference import Digest, Version
from gemmactl.resources.cloud import Json
from gemmactl.resources.service_types import (
    Container,
    EmptyDir,
    EnvVar,
    GcsVolume,
    Mount,
    OtherVolume,
    Port,
    Probe,
    Resources,
    Scaling,
    SecretEnv,
    SecretItem,
    SecretVolume,
    Traffic,
    Volume,
    Vpc,
)

GPU: Final = "nvidia.com/gpu"
LATEST: Final = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION: Final = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
PROBES: Final = {"http": "httpGet", "tcp": "tcpSocket", "grpc": "grpc"}


def some(**parts: Any) -> Json:
    """The parts that have an opinion."""
    return {k: v for k, v in parts.items() if v is not None}


def lean(value: Any) -> Any:
    """Without what proto3 never sends: false, 0 and empty lists. Empty messages and texts stay, they mean something."""
    if isinstance(value, dict):
        return {k: lean(v) for k, v in value.items() if v != [] and not (isinstance(v, int) and v == 0)}
    return [lean(v) for v in value] if isinstance(value, list) else value


def seconds(text: str | None) -> int | None:
    """`1800s` -> 1800."""
    return int(float(text.removesuffix("s"))) if text else None


def text_of(value: str | Digest | Version) -> str:
    """A late reference that is not known yet stands as its own words (only ever shown, never sent)."""
    return str(value)


# --- containers -----------------------------------------------------------------------------------


def container_json(c: Container) -> Json:
    return some(
        name=c.name,
        image=text_of(c.image),
        command=_list(c.command),
        args=_list(c.args),
        env=None if c.env is None else [_env_json(e) for e in c.env],
        resources=_resources_json(c.resources),
        ports=None if c.ports is None else [some(name=p.name, containerPort=p.container_port) for p in c.ports],
        startupProbe=_probe_json(c.startup_probe),
        livenessProbe=_probe_json(c.liveness_probe),
        volumeMounts=None if c.mounts is None else [{"name": m.name, "mountPath": m.path} for m in c.mounts],
        dependsOn=_list(c.depends_on),
        workingDir=c.working_dir,
    )


def container_of(j: Json) -> Container:
    return Container(
        image=j.get("image", ""),
        name=j.get("name"),
        command=_tuple(j, "command"),
        args=_tuple(j, "args"),
        env=tuple(_env_of(e) for e in j.get("env", [])),
        resources=_resources_of(j["resources"]) if "resources" in j else None,
        ports=tuple(Port(p.get("containerPort", 0), p.get("name")) for p in j.get("ports", [])),
        startup_probe=_probe_of(j.get("startupProbe")),
        liveness_probe=_probe_of(j.get("livenessProbe")),
        mounts=tuple(Mount(m.get("name", ""), m.get("mountPath", "")) for m in j.get("volumeMounts", [])),
        depends_on=_tuple(j, "dependsOn"),
        working_dir=j.get("workingDir") or None,
    )


def _env_json(e: EnvVar | SecretEnv) -> Json:
    if isinstance(e, EnvVar):
        return {"name": e.name, "value": e.value}
    return {"name": e.name, "valueSource": {"secretKeyRef": {"secret": e.secret, "version": text_of(e.version)}}}


def _env_of(j: Json) -> EnvVar | SecretEnv:
    reference = j.get("valueSource", {}).get("secretKeyRef")
    if reference is None:
        return EnvVar(j["name"], j.get("value", ""))
    return SecretEnv(j["name"], reference.get("secret", ""), reference.get("version", "latest"))


def _resources_json(r: Resources | None) -> Json | None:
    if r is None:
        return None
    limits = {k: v for k, v in (("cpu", r.cpu), ("memory", r.memory), (GPU, r.gpu)) if v is not None}
    return some(limits=limits or None, cpuIdle=r.cpu_idle, startupCpuBoost=r.startup_cpu_boost)


def _resources_of(j: Json) -> Resources:
    limits = j.get("limits", {})
    return Resources(
        limits.get("cpu"), limits.get("memory"), limits.get(GPU), bool(j.get("cpuIdle")), bool(j.get("startupCpuBoost"))
    )


def _probe_json(p: Probe | None) -> Json | None:
    if p is None:
        return None
    headers = [{"name": name, "value": value} for name, value in p.headers or ()] or None
    return some(
        initialDelaySeconds=p.initial_delay,
        timeoutSeconds=p.timeout,
        periodSeconds=p.period,
        failureThreshold=p.failures,
        **{PROBES[p.kind]: some(port=p.port, path=p.path, service=p.service, httpHeaders=headers)},
    )


def _probe_of(j: Json | None) -> Probe | None:
    if j is None:
        return None
    kind = next((k for k, name in PROBES.items() if name in j), "tcp")
    action = j.get(PROBES[kind], {})
    return Probe(
        kind,  # type: ignore[arg-type]  # a key of PROBES
        action.get("port"),
        action.get("path"),
        action.get("service"),
        j.get("initialDelaySeconds", 0),
        j.get("timeoutSeconds"),
        j.get("periodSeconds"),
        j.get("failureThreshold"),
        tuple((h["name"], h.get("value", "")) for h in action.get("httpHeaders", [])),
    )


# --- around them ----------------------------------------------------------------------------------


def volume_json(v: Volume) -> Json:
    match v:
        case GcsVolume():
            gcs = some(bucket=v.bucket, readOnly=v.read_only, mountOptions=list(v.mount_options) or None)
            return {"name": v.name, "gcs": gcs}
        case SecretVolume():
            items = [{"path": i.path, "version": text_of(i.version)} for i in v.items]
            return {"name": v.name, "secret": some(secret=v.secret, items=items or None)}
        case EmptyDir():
            return {"name": v.name, "emptyDir": some(medium=v.medium, sizeLimit=v.size)}
        case OtherVolume():
            return {"name": v.name, **json.loads(v.text)}


def volume_of(j: Json) -> Volume:
    name = j.get("name", "")
    if gcs := j.get("gcs"):
        return GcsVolume(name, gcs.get("bucket", ""), bool(gcs.get("readOnly")), tuple(gcs.get("mountOptions", [])))
    if secret := j.get("secret"):
        items = tuple(SecretItem(i.get("path", ""), i.get("version", "latest")) for i in secret.get("items", []))
        return SecretVolume(name, secret.get("secret", ""), items)
    if "emptyDir" in j:
        return EmptyDir(name, j["emptyDir"].get("medium"), j["emptyDir"].get("sizeLimit"))
    return OtherVolume(name, json.dumps({k: v for k, v in j.items() if k != "name"}, sort_keys=True))


def traffic_json(t: Traffic) -> Json:
    where = {"type": REVISION, "revision": t.revision} if t.revision else {"type": LATEST}
    return some(**where, percent=t.percent, tag=t.tag)


def traffic_of(j: Json) -> Traffic:
    return Traffic(j.get("percent", 0), j.get("revision") or None, j.get("tag") or None)


def vpc_json(v: Vpc | None) -> Json | None:
    if v is None:
        return None
    interface = some(network=v.network, subnetwork=v.subnetwork, tags=_list(v.tags))
    return some(connector=v.connector, egress=v.egress, networkInterfaces=[interface] if interface else None)


def vpc_of(j: Json | None) -> Vpc | None:
    if not j:
        return None
    interface: Json = next(iter(j.get("networkInterfaces", [])), {})
    return Vpc(
        interface.get("network"), interface.get("subnetwork"), _tuple(interface, "tags"), j.get("egress"), j.get("connector")
    )


def scaling_json(s: Scaling | None) -> Json | None:
    return None if s is None else some(minInstanceCount=s.min_instances, maxInstanceCount=s.max_instances)


def scaling_of(j: Json) -> Scaling:
    return Scaling(j.get("minInstanceCount", 0), j.get("maxInstanceCount"))


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _tuple(j: Json, key: str) -> tuple[str, ...]:
    return tuple(j.get(key, ()))
