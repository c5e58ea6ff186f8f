"""Legal numbers of probes. Knows no container beyond its probes.

Sentences: source: Cloud Run's pages and published logs, corpus conf-001; those marked so are a guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
Finding = tuple[str, str]


def each_probe(template: Json) -> Iterator[tuple[str, str, Json]]:
    for number, container in enumerate(template.get("containers", [])):
        for key, name in (
            ("startupProbe", "startup_probe"),
            ("livenessProbe", "liveness_probe"),
            ("readinessProbe", "readiness_probe"),
        ):
            if key in container:
                yield f"template.containers[{number}].{name}", key, container[key]


def probes(template: Json) -> Iterator[Finding]:
    for at, kind, probe in each_probe(template):
        longest = {"startupProbe": 240, "livenessProbe": 3600, "readinessProbe": 300}[kind]
        for key, name in (
            ("initialDelaySeconds", "initial_delay_seconds"),
            ("periodSeconds", "period_seconds"),
            ("timeoutSeconds", "timeout_seconds"),
        ):
            top = 240 if key == "initialDelaySeconds" else longest
            if not 0 <= probe.get(key, 0) <= top:
                yield at, f"{name} must be a number between 0 and {top}."
        if kind == "readinessProbe" and probe.get("initialDelaySeconds"):
            # source of the rule: Cloud Run's page on container health checks; the sentence is a guess
            yield at, "initial_delay_seconds is not supported for this probe"
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
