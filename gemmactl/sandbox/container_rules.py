"""What Cloud Run refuses in containers and volumes, of a service or a job alike. Knows neither of them.

`template` holds containers and volumes; field paths begin with `template.`. Sentences: source: Cloud Run's pages and published
logs; the field path before them is a guess, and so are those marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from gemmactl.sandbox.wire import ApiError, failed

Json = dict[str, Any]
Finding = tuple[str, str]
NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
_SECRET: Final = re.compile(r"(projects/[\w:.-]+/secrets/)?[A-Za-z0-9_-]{1,255}")


def seconds(text: str) -> float:
    """A protobuf duration in JSON."""
    return float(text.removesuffix("s"))


def violation(findings: Iterable[Finding]) -> ApiError:
    """400 INVALID_ARGUMENT in Google's shape."""
    rows = list(findings)
    field, text = rows[0]
    details = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": f, "description": t} for f, t in rows],
    }
    return failed("INVALID_ARGUMENT", f"{field}: {text}" if field else text, details)


_SYSTEM: Final = ("run.googleapis.com/", "cloud.googleapis.com/", "serving.knative.dev/", "autoscaling.knative.dev/")
"""Namespaces that the v2 API takes from nobody. source: google.cloud.run_v2, Service.annotations and Service.labels"""


def system_annotations(places: Iterable[tuple[str, Json]]) -> Iterator[Finding]:
    """`places`: (field, its annotations)."""
    for place, found in places:
        if any(key.startswith(_SYSTEM) for key in found):
            yield place, "system annotations are not supported"


def labels(places: Iterable[tuple[str, Json]]) -> Iterator[Finding]:
    """`places`: (field, its labels)."""
    for place, found in places:
        for key, value in found.items():
            if key.startswith(_SYSTEM):
                yield place, "system annotations are not supported"
            elif not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
                yield place, f"label {key}={value} must consist of lowercase letters, digits, hyphens and underscores"  # guess


def name(field: str, given: str) -> Iterator[Finding]:
    if not NAME.fullmatch(given):
        text = "only lowercase, digits, and hyphens; must begin with letter, and cannot end with hyphen"
        yield field, f"{text}; must be less than 50 characters."


def containers(template: Json) -> Iterator[Finding]:
    found = template.get("containers", [])
    if not found:
        yield "template.containers", "at least one container is required"
    if len(found) > 1:
        yield "template.containers", "the sandbox runs one container for each instance"
    for number, container in enumerate(found):
        at = f"template.containers[{number}]"
        if not container.get("image"):
            yield f"{at}.image", "image is required"
        for port in container.get("ports", []):
            if not 1 <= port.get("containerPort", 0) <= 65535:
                yield f"{at}.ports[0].container_port", "port must be between 1 and 65535"


def networks(template: Json) -> Iterator[Finding]:
    if len(template.get("vpcAccess", {}).get("networkInterfaces", [])) > 1:
        yield "template.vpc_access.network_interfaces", "at most 1 network interface is allowed"


def environment(template: Json, reserved: re.Pattern[str]) -> Iterator[Finding]:
    """`reserved`: names that Cloud Run sets itself."""
    for number, container in enumerate(template.get("containers", [])):
        taken = [e.get("name", "") for e in container.get("env", []) if reserved.fullmatch(e.get("name", ""))]
        if taken:
            text = f"The following reserved env names were provided: {', '.join(taken)}."  # guess
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


def volumes(template: Json, *, mounts: tuple[str, ...] = ("secret",)) -> Iterator[Finding]:
    """`mounts`: kinds that the sandbox has."""
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
    if any(not volume.keys() & {*mounts} for volume in template.get("volumes", [])):
        what = "secrets alone" if mounts == ("secret",) else "secrets and buckets alone"
        yield "template.volumes", f"the sandbox mounts {what}: it starts the container as a process of this machine"
