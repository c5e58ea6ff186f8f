"""What Cloud Run refuses in a service before anything starts. Knows no state.

Documents are v2 JSON (lowerCamelCase, defaults absent). Sentences: source: Cloud Run's pages and published logs; the field
path before them is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from gemmactl.sandbox.late_rules import late
from gemmactl.sandbox.probe_rules import probes
from gemmactl.sandbox.resource_rules import resources
from gemmactl.sandbox.wire import ApiError, failed

Json = dict[str, Any]
Finding = tuple[str, str]
_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
_SECRET: Final = re.compile(r"(projects/[\w:.-]+/secrets/)?[A-Za-z0-9_-]{1,255}")
_RESERVED: Final = re.compile(r"PORT|K_.*|CLOUD_RUN_.*|X_GOOGLE_.*")


def seconds(text: str) -> float:
    """A protobuf duration in JSON."""
    return float(text.removesuffix("s"))


def check(service: Json, service_id: str, *, dry: bool) -> None:
    """Raise what Cloud Run says to an illegal service; `dry` (validateOnly) skips what it doesn't look at then.

    Raises:
        ApiError: 400 with a BadRequest detail that names every violated field.
    """
    findings = list(_service(service, service_id))
    template = service.get("template", {})
    for rule in (_containers, resources, _limits_of_requests, _environment, probes, _volumes, _scaling):
        findings += rule(template)
    if not dry:
        findings += late(template)
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
        text = "only lowercase, digits, and hyphens; must begin with letter, and cannot end with hyphen"
        yield "service_id", f"{text}; must be less than 50 characters."
    for place, labels in (
        ("labels", service.get("labels", {})),
        ("template.labels", service.get("template", {}).get("labels", {})),
    ):
        for key, value in labels.items():
            if key.startswith(("run.googleapis.com/", "serving.knative.dev/")):
                yield place, "system annotations are not supported"
            elif not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
                yield place, f"label {key}={value} must consist of lowercase letters, digits, hyphens and underscores"  # guess
    traffic = service.get("traffic", [])
    if traffic and sum(t.get("percent", 0) for t in traffic) != 100:
        yield "traffic", "Traffic percent must sum to 100."  # guess
    for tag in (t["tag"] for t in traffic if t.get("tag")):
        if len(tag) + len(service_id) > 46:
            # source: published logs of gcloud run deploy --tag
            text = f"traffic tag '{tag}' and service name '{service_id}' together are too long."
            yield "spec.traffic.tag", f"{text} Combined traffic tag and service name cannot exceed 46 characters."
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
            text = f"The following reserved env names were provided: {', '.join(reserved)}."  # guess
            yield f"template.containers[{number}].env", f"{text} These values are automatically set by the system."
        for place, env in enumerate(container.get("env", [])):
            at = f"template.containers[{number}].env[{place}]"
            if not env.get("name"):
                yield f"{at}.name", "name is required"
            selector = env.get("valueSource", {}).get("secretKeyRef")
            if selector is None:
                continue
            if selector.get("secret") and not _SECRET.fullmatch(selector["secret"]):
                yield f"{at}.value_source.secret_key_ref.secret", f"invalid secret name: {selector.get('secret', '')}"
            if not re.fullmatch(r"latest|\d+|[A-Za-z][\w-]{0,62}", selector.get("version", "latest")):
                yield f"{at}.value_source.secret_key_ref.version", f"invalid secret version: {selector['version']}"


def _volumes(template: Json) -> Iterator[Finding]:
    names = {v.get("name", "") for v in template.get("volumes", [])}
    for number, container in enumerate(template.get("containers", [])):
        for mount in container.get("volumeMounts", []):
            at, path = f"template.containers[{number}].volume_mounts", mount.get("mountPath", "")
            if mount.get("name") not in names:
                yield at, f"volume {mount.get('name')} is not defined"  # guess
            if not path.startswith("/"):
                yield f"{at}.mount_path", f"{path} should be a valid unix absolute path"
            elif re.match(r"/(dev|proc|sys)(/|$)", path):
                yield f"{at}.mount_path", f"mounting under {path} is not allowed"  # guess
    if any("secret" not in volume for volume in template.get("volumes", [])):
        yield "template.volumes", "the sandbox mounts secrets alone: it starts the container as a process of this machine"


def _scaling(template: Json) -> Iterator[Finding]:
    scaling = template.get("scaling", {})
    low, high = scaling.get("minInstanceCount", 0), scaling.get("maxInstanceCount", 100)
    if low < 0 or high < 0 or low > high:
        yield "template.scaling", "min_instance_count must be less than or equal to max_instance_count."  # guess
