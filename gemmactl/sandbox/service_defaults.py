"""What Cloud Run fills into a service that was accepted. Knows no rule and no state."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def with_defaults(service: Json, compute_account: str) -> Json:
    """The service as the server tells it back. Source: recordings of real v2 traffic, k8s-config-connector's _http.log files."""
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
    probe = dict(
        out.get("startupProbe", {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": port}})
    )
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("failureThreshold", 3)):
        probe.setdefault(key, value)
    for kind in ("httpGet", "tcpSocket"):
        if kind in probe:
            probe[kind] = {"port": port, **probe[kind]}
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
    out["startupProbe"] = probe
    return out
