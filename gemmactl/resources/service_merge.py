"""A wish laid over a live service's JSON, so that nothing the wish doesn't speak of is lost. Knows no types and no cloud."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.resources.cloud import Json

WHOLE: Final = frozenset(
    {"startupProbe", "livenessProbe", "env", "ports", "volumeMounts", "volumes", "nodeSelector", "vpcAccess"}
)
"""Replaced, not merged: a probe is a oneof, the others are sets without a stable key."""
RETRY_LABEL: Final = "gemmactl-retry-of"
"""Label of a revision that tries again what failed in another one."""


def merge(live: Json, wish: Json) -> Json:
    """Dicts merge by key, containers by position, the rest is replaced."""
    out = dict(live)
    for key, value in wish.items():
        old = live.get(key)
        if key == "containers" and isinstance(old, list) and len(old) == len(value):
            out[key] = [merge(a, b) for a, b in zip(old, value, strict=True)]
        elif isinstance(value, dict) and isinstance(old, dict) and key not in WHOLE:
            out[key] = merge(old, value)
        else:
            out[key] = value
    return out


def renewed(template: Json, after: str) -> Json:
    """The template as a revision of its own, also when nothing else in it changed.

    Cloud Run makes no new revision of an equal template, so a failed one could never be tried again.
    """
    out: dict[str, Any] = {k: v for k, v in template.items() if k != "revision"}
    return {**out, "labels": {**template.get("labels", {}), RETRY_LABEL: after[:63]}} if after else out
