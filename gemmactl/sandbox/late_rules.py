"""What Cloud Run refuses in a service, but not under validateOnly. Knows no state.

Source of what is missed: a conformance suite that compares a rule table with the live API (2026); nobody has seen the sentences
of those marked as a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gemmactl.sandbox.probe_rules import each_probe
from gemmactl.sandbox.resource_rules import ACCELERATORS, has_gpu

Json = dict[str, Any]
Finding = tuple[str, str]


def late(template: Json) -> Iterator[Finding]:
    """All of them."""
    yield from patience(template)
    accelerator = template.get("nodeSelector", {}).get("accelerator", "")
    if accelerator and accelerator not in ACCELERATORS:
        yield "template.node_selector.accelerator", f"Accelerator {accelerator} is not supported."  # guess
    for volume in template.get("volumes", []):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", volume.get("name", "")):
            # source: the seed author's own repository
            yield "template.volumes", f"{volume.get('name')} should only have alphanumeric characters, hyphens and underscores"
    for number, container in enumerate(template.get("containers", [])):
        yield from _container(f"template.containers[{number}]", container)


def _container(at: str, container: Json) -> Iterator[Finding]:
    if not container.get("workingDir", "/").startswith("/"):
        # guess: by analogy with a mount path
        yield f"{at}.working_dir", f"{container['workingDir']} should be a valid unix absolute path"
    for field, key, entries in (
        ("env", "name", container.get("env", [])),
        ("volume_mounts", "mountPath", container.get("volumeMounts", [])),
    ):
        names = [entry.get(key, "") for entry in entries]
        for twice in sorted({name for name in names if names.count(name) > 1}):
            yield f"{at}.{field}", f"duplicate value: {twice}"  # guess
    for place, entry in enumerate(container.get("env", [])):
        selector = entry.get("valueSource", {}).get("secretKeyRef")
        if selector is not None and not selector.get("secret"):
            yield f"{at}.env[{place}].value_source.secret_key_ref.secret", "secret is required"  # guess


def patience(template: Json) -> Iterator[Finding]:
    """How long a startup probe may take in all, and one try of any."""
    most = 1800 if has_gpu(template) else 600
    for at, kind, probe in each_probe(template):
        period = probe.get("periodSeconds") or 10
        if (probe.get("timeoutSeconds") or 1) > period:
            yield at, "timeout_seconds must be less than or equal to period_seconds."  # guess
        if kind == "startupProbe" and period * (probe.get("failureThreshold") or 3) > most:
            yield at, f"failure_threshold * period_seconds must be less than or equal to {most}."  # guess
