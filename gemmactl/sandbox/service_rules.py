"""What Cloud Run refuses in a service before anything starts, and what it fills in. Knows no state.

Documents are v2 JSON (lowerCamelCase, defaults absent). Sentences: source: facts of cloud-run.md 1, 2.3, 2.4 and 3, corpus conf-001
and conf-004; which field path stands before them is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gemmactl.sandbox.wire import ApiError, failed

Json = dict[str, Any]
Finding = tuple[str, str]
GPU: Final = "nvidia.com/gpu"
_L4, _RTX = "nvidia-l4", "nvidia-rtx-pro-6000"
_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
_SECRET: Final = re.compile(r"(projects/[\w:.-]+/secrets/)?[A-Za-z0-9_-]{1,255}")
_RESERVED: Final = re.compile(r"PORT|K_.*|CLOUD_RUN_.*|X_GOOGLE_.*")
_MEMORY_OF_CPU: Final = {1.0: (0.5, 4), 2.0: (0.5, 8), 4.0: (2, 16), 6.0: (4, 24), 8.0: (4, 32)}
"""cpu -> GiB from, to."""
_UNITS: Final = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
GIB: Final = 1024**3


def quantity(text: str) -> float:
    """A Kubernetes quantity: `8`, `500m`, `32Gi`.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|k|M|G|Ki|Mi|Gi)?", text)
    if not found:
        raise ValueError(text)
    return float(found[1]) / 1000 if found[2] == "m" else float(found[1]) * _UNITS[found[2] or ""]


def seconds(text: str) -> float:
    """A protobuf duration in JSON."""
    return float(text.removesuffix("s"))


def has_gpu(template: Mapping[str, Any]) -> bool:
    """Does an instance of it get a GPU?"""
    return any(GPU in _limits(c) for c in template.get("containers", []))


def check(service: Json, service_id: str, *, dry: bool) -> None:
    """Raise what Cloud Run says to an illegal service; `dry` (validateOnly) skips what it doesn't look at then.

    Raises:
        ApiError: 400 with a BadRequest detail that names every violated field.
    """
    findings = list(_service(service, service_id))
    template = service.get("template", {})
    for rule in (_containers, _resources, _limits_of_requests, _environment, _probes, _volumes, _scaling):
        findings += rule(template)
    if not dry:
        findings += _patience(template)
    if findings:
        raise violation(findings)


def violation(findings: Iterable[Finding]) -> ApiError:
    """400 INVALID_ARGUMENT in Google's shape."""
    rows = list(findings)
    field, text = rows[0]
    details = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": f, "description": t} for f, t in rows],
    }
    return failed("INVALID_ARGUMENT", f"{field}: {text}" if field else text, details)


def _service(service: Json, service_id: str) -> Iterator[Finding]:
    if not _NAME.fullmatch(service_id):
        yield ("service_id", "only lowercase, digits, and hyphens; must begin with letter, and cannot end with hyphen; "
               "must be less than 50 characters.")  # fmt: skip
    for place, labels in (("labels", service.get("labels", {})), ("template.labels", service.get("template", {}).get("labels", {}))):
        for key, value in labels.items():
            if key.startswith(("run.googleapis.com/", "serving.knative.dev/")):
                yield place, "system annotations are not supported"
            elif not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
                yield place, f"label {key}={value} must consist of lowercase letters, digits, hyphens and underscores"  # guess
    traffic = service.get("traffic", [])
    if traffic and sum(t.get("percent", 0) for t in traffic) != 100:
        yield "traffic", "Traffic percent must sum to 100."  # guess
    revision = service.get("template", {}).get("revision", "")
    if revision and not revision.startswith(f"{service_id}-"):
        yield "template.revision", f"Revision name must be prefixed by the service name {service_id}-"  # guess


def _containers(template: Json) -> Iterator[Finding]:
    containers = template.get("containers", [])
    if not containers:
        yield "template.containers", "at least one container is required"
    if len(containers) > 1:
        yield "template.containers", "the sandbox runs one container for each instance"
    for number, container in enumerate(containers):
        at = f"template.containers[{number}]"
        if not container.get("image"):
            yield f"{at}.image", "image is required"
        for port in container.get("ports", []):
            if not 1 <= port.get("containerPort", 0) <= 65535:
                yield f"{at}.ports[0].container_port", "port must be between 1 and 65535"
        if container.get("workingDir", "/")[0] != "/":
            yield f"{at}.working_dir", "should be a valid unix absolute path"


def _limits(container: Mapping[str, Any]) -> Mapping[str, str]:
    limits: Mapping[str, str] = container.get("resources", {}).get("limits", {})
    return limits


def _resources(template: Json) -> Iterator[Finding]:
    accelerator = template.get("nodeSelector", {}).get("accelerator", "")
    for number, container in enumerate(template.get("containers", [])):
        at = f"template.containers[{number}].resources"
        limits = _limits(container)
        try:
            cpu, memory = quantity(limits.get("cpu", "1")), quantity(limits.get("memory", "512Mi")) / GIB
        except ValueError as wrong:
            yield f"{at}.limits", f"Invalid value {wrong} specified for a resource limit."
            continue
        if GPU in limits:
            yield from _gpu(at, limits[GPU], accelerator, cpu, memory)
            if container.get("resources", {}).get("cpuIdle"):
                yield f"{at}.cpu_idle", "CPU must be always allocated in order to set GPU requirements."  # guess
        elif accelerator:
            yield "template.node_selector", "GPU must be set to 1 on one container in order to set an accelerator."  # guess
        if accelerator != _RTX:
            yield from _pair(f"{at}.limits.memory", cpu, memory)
    if has_gpu(template):
        if template.get("executionEnvironment") == "EXECUTION_ENVIRONMENT_GEN1":
            yield "template.execution_environment", "Execution environment must be set to gen2 in order to set GPU requirements."
    elif "gpuZonalRedundancyDisabled" in template:
        yield "template.gpu_zonal_redundancy_disabled", "GPU zonal redundancy can only be set when a GPU is."  # guess


def _gpu(at: str, count: str, accelerator: str, cpu: float, memory: float) -> Iterator[Finding]:
    if count != "1":
        yield f"{at}.limits", "GPU can only be set to 1 on one container."
    if not accelerator:
        yield "template.node_selector", "An accelerator must be set in order to set GPU requirements."  # guess
    elif accelerator == _L4:
        if cpu < 4 or memory < 16:
            yield f"{at}.limits", "CPU must be at least 4; memory must be at least 16Gi in order to set GPU requirements."
    elif accelerator == _RTX:
        if cpu not in (20, 22, 24, 26, 28, 30):
            yield f"{at}.limits.cpu", "Must be equal to one of 20.0, 22.0, 24.0, 26.0, 28.0, 30.0"
        elif not 80 <= memory <= 4 * cpu:
            yield f"{at}.limits.memory", f"memory must be between 80Gi and {int(4 * cpu)}Gi inclusive."
    else:
        yield "template.node_selector.accelerator", f"Accelerator {accelerator} is not supported."  # guess


def _pair(field: str, cpu: float, memory: float) -> Iterator[Finding]:
    low, high = _MEMORY_OF_CPU.get(cpu, (0.125, 2) if cpu < 1 else (0, 0))
    if not high:
        yield field.replace("memory", "cpu"), "Invalid value specified for cpu. Must be equal to one of 1.0, 2.0, 4.0, 6.0, 8.0"
    elif not low <= memory <= high:
        said = "512Mi" if low == 0.5 else "128Mi" if low < 0.5 else f"{int(low)}Gi"
        yield (field, f"Invalid value specified for memory with gen2 execution environment. For {cpu} CPU, memory must be between "
               f"{said} and {int(high)}Gi inclusive.")  # fmt: skip


def _limits_of_requests(template: Json) -> Iterator[Finding]:
    if not 0 <= template.get("maxInstanceRequestConcurrency", 0) <= 1000:
        yield "template.max_instance_request_concurrency", "concurrency must be between 0 and 1000"
    if seconds(template.get("timeout", "300s")) > 3600:
        yield "template.timeout", "The maximum allowed time is one hour."
    if len(template.get("vpcAccess", {}).get("networkInterfaces", [])) > 1:
        yield "template.vpc_access.network_interfaces", "at most 1 network interface is allowed"


def _environment(template: Json) -> Iterator[Finding]:
    for number, container in enumerate(template.get("containers", [])):
        reserved = [e.get("name", "") for e in container.get("env", []) if _RESERVED.fullmatch(e.get("name", ""))]
        if reserved:
            # guess
            yield (f"template.containers[{number}].env", f"The following reserved env names were provided: {', '.join(reserved)}. "
                   "These values are automatically set by the system.")  # fmt: skip
        for place, env in enumerate(container.get("env", [])):
            at = f"template.containers[{number}].env[{place}]"
            if not env.get("name"):
                yield f"{at}.name", "name is required"
            selector = env.get("valueSource", {}).get("secretKeyRef")
            if selector is None:
                continue
            if not _SECRET.fullmatch(selector.get("secret", "")):
                yield f"{at}.value_source.secret_key_ref.secret", f"invalid secret name: {selector.get('secret', '')}"
            if not re.fullmatch(r"latest|\d+|[A-Za-z][\w-]{0,62}", selector.get("version", "latest")):
                yield f"{at}.value_source.secret_key_ref.version", f"invalid secret version: {selector['version']}"


def _each_probe(template: Json) -> Iterator[tuple[str, str, Json]]:
    for number, container in enumerate(template.get("containers", [])):
        for key, name in (("startupProbe", "startup_probe"), ("livenessProbe", "liveness_probe"), ("readinessProbe", "readiness_probe")):
            if key in container:
                yield f"template.containers[{number}].{name}", key, container[key]


def _probes(template: Json) -> Iterator[Finding]:
    for at, kind, probe in _each_probe(template):
        longest = {"startupProbe": 240, "livenessProbe": 3600, "readinessProbe": 300}[kind]
        for key, name in (("initialDelaySeconds", "initial_delay_seconds"), ("periodSeconds", "period_seconds"), ("timeoutSeconds", "timeout_seconds")):
            top = 240 if key == "initialDelaySeconds" else longest
            if not 0 <= probe.get(key, 0) <= top:
                yield at, f"{name} must be a number between 0 and {top}."
        if probe.get("failureThreshold", 1) < 0:
            yield at, "failure_threshold must be greater than or equal to 1."
        kinds = [k for k in ("httpGet", "tcpSocket", "grpc") if k in probe]
        if len(kinds) != 1:
            yield at, "exactly one of http_get, tcp_socket and grpc is required"  # guess
        if kind != "startupProbe" and "tcpSocket" in probe:
            yield at, "tcp_socket is not supported for this probe"  # guess
        if "grpc" in probe:
            yield at, "the sandbox can't run a gRPC probe"
        if "httpGet" in probe and not probe["httpGet"].get("path", "/").startswith("/"):
            yield at, "http_get.path must begin with /"  # guess


def _patience(template: Json) -> Iterator[Finding]:
    """What validateOnly lets pass."""
    most = 1800 if has_gpu(template) else 600
    for at, kind, probe in _each_probe(template):
        period = probe.get("periodSeconds") or 10
        if (probe.get("timeoutSeconds") or 1) > period:
            yield at, "timeout_seconds must be less than or equal to period_seconds."  # guess
        if kind == "startupProbe" and period * (probe.get("failureThreshold") or 3) > most:
            yield at, f"failure_threshold * period_seconds must be less than or equal to {most}."  # guess


def _volumes(template: Json) -> Iterator[Finding]:
    names = {v.get("name", "") for v in template.get("volumes", [])}
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            yield "template.volumes", f"{name} should only have alphanumeric characters, hyphens and underscores"
    for number, container in enumerate(template.get("containers", [])):
        for mount in container.get("volumeMounts", []):
            at, path = f"template.containers[{number}].volume_mounts", mount.get("mountPath", "")
            if mount.get("name") not in names:
                yield at, f"volume {mount.get('name')} is not defined"  # guess
            if not path.startswith("/"):
                yield f"{at}.mount_path", f"{path} should be a valid unix absolute path"
            elif re.match(r"/(dev|proc|sys)(/|$)", path):
                yield f"{at}.mount_path", f"mounting under {path} is not allowed"  # guess
    if names:
        yield "template.volumes", "the sandbox can't mount volumes: it starts the container as a process of this machine"


def _scaling(template: Json) -> Iterator[Finding]:
    scaling = template.get("scaling", {})
    low, high = scaling.get("minInstanceCount", 0), scaling.get("maxInstanceCount", 100)
    if low < 0 or high < 0 or low > high:
        yield "template.scaling", "min_instance_count must be less than or equal to max_instance_count."  # guess


def with_defaults(service: Json, compute_account: str) -> Json:
    """The service as the server tells it back. Source: recordings of real v2 traffic, facts testing.md."""
    template = dict(service.get("template", {}))
    template.setdefault("maxInstanceRequestConcurrency", 80)
    template.setdefault("timeout", "300s")
    template.setdefault("serviceAccount", compute_account)
    template.setdefault("executionEnvironment", "EXECUTION_ENVIRONMENT_GEN2")
    template["scaling"] = {"maxInstanceCount": 100, **template.get("scaling", {})}
    template["containers"] = [_container(c) for c in template.get("containers", [])]
    return {
        "ingress": "INGRESS_TRAFFIC_ALL",
        "launchStage": "GA",
        "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
        **service,
        "template": template,
    }


def _container(container: Json) -> Json:
    out = dict(container)
    out.setdefault("ports", [{"name": "http1", "containerPort": 8080}])
    port = out["ports"][0].get("containerPort", 8080)
    resources = dict(out.get("resources", {"cpuIdle": True, "startupCpuBoost": True}))
    resources["limits"] = {"cpu": "1000m", "memory": "512Mi", **resources.get("limits", {})}
    out["resources"] = resources
    probe = dict(out.get("startupProbe", {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": port}}))
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("failureThreshold", 3)):
        probe.setdefault(key, value)
    for kind in ("httpGet", "tcpSocket"):
        if kind in probe:
            probe[kind] = {"port": port, **probe[kind]}
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
    out["startupProbe"] = probe
    return out

