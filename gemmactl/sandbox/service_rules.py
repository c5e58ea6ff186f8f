"""What Cloud Run refuses in a service before anything starts. Knows no state.

Documents are v2 JSON (lowerCamelCase, defaults absent). Sentences: source: Cloud Run's pages and published logs; the field
path before them is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from gemmactl.sandbox import container_rules as shared
from gemmactl.sandbox.container_rules import Finding, seconds, violation
from gemmactl.sandbox.late_rules import late
from gemmactl.sandbox.probe_rules import probes
from gemmactl.sandbox.resource_rules import resources

Json = dict[str, Any]
_RESERVED: Final = re.compile(r"PORT|K_.*|CLOUD_RUN_.*|X_GOOGLE_.*")


def check(service: Json, service_id: str, *, dry: bool) -> None:
    """Raise what Cloud Run says to an illegal service; `dry` (validateOnly) skips what it doesn't look at then.

    Raises:
        ApiError: 400 with a BadRequest detail that names every violated field.
    """
    findings = list(_service(service, service_id))
    template = service.get("template", {})
    for rule in (
        shared.containers,
        resources,
        _limits_of_requests,
        shared.networks,
        _environment,
        probes,
        _volumes,
        _scaling,
    ):
        findings += rule(template)
    if not dry:
        findings += late(template)
    if findings:
        raise violation(findings)


def _volumes(template: Json) -> Iterator[Finding]:
    return shared.volumes(template, mounts=("secret", "gcs"))


def _service(service: Json, service_id: str) -> Iterator[Finding]:
    yield from shared.name("service_id", service_id)
    of_template = service.get("template", {}).get("labels", {})
    yield from shared.labels((("labels", service.get("labels", {})), ("template.labels", of_template)))
    own = service.get("template", {}).get("annotations", {})
    yield from shared.system_annotations((("annotations", service.get("annotations", {})), ("template.annotations", own)))
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


def _limits_of_requests(template: Json) -> Iterator[Finding]:
    if not 0 <= template.get("maxInstanceRequestConcurrency", 0) <= 1000:
        yield "template.max_instance_request_concurrency", "concurrency must be between 0 and 1000"
    if seconds(template.get("timeout", "300s")) > 3600:
        yield "template.timeout", "The maximum allowed time is one hour."


def _environment(template: Json) -> Iterator[Finding]:
    return shared.environment(template, _RESERVED)


def _scaling(template: Json) -> Iterator[Finding]:
    scaling = template.get("scaling", {})
    low, high = scaling.get("minInstanceCount", 0), scaling.get("maxInstanceCount", 100)
    if low < 0 or high < 0 or low > high:
        yield "template.scaling", "min_instance_count must be less than or equal to max_instance_count."  # guess
