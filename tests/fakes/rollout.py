"""What Cloud Run adds to a service: defaults, a revision, conditions. Pure."""

from __future__ import annotations

from typing import Any

from gemmactl.resources.cloud import Json
from gemmactl.resources.service_merge import merge


def defaulted(body: Json, number: str) -> Json:
    """The body with the server's defaults where the caller had no opinion (as real recordings show them)."""
    template = body.get("template", {})
    container: Json = {"ports": [{"name": "http1", "containerPort": 8080}]}
    containers = [merge(container if i == 0 else {}, c) for i, c in enumerate(template.get("containers", []))]
    for c in containers:
        if probe := c.get("startupProbe"):
            c["startupProbe"] = {"timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3, **probe}
        else:
            tcp = {"port": 8080}
            c["startupProbe"] = {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": tcp}
    defaults: Json = {
        "serviceAccount": f"{number}-compute@developer.gserviceaccount.com",
        "timeout": "300s",
        "maxInstanceRequestConcurrency": 80,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "scaling": {"maxInstanceCount": 100},
    }
    full = {**merge(defaults, template), "containers": containers}
    traffic = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    outside = {"ingress": "INGRESS_TRAFFIC_ALL", "launchStage": "GA", "traffic": traffic}
    return {**outside, **body, "template": full}


def rolled(name: str, body: Json, failure: str | None) -> tuple[Json, Json | None]:
    """The service after a rollout and its new revision. `failure`: "" succeeds, None makes no revision."""
    generation = int(body.get("generation", 0)) + 1
    count = int(body.get("annotations", {}).get("test/revisions", 0)) + (failure is not None)
    short = name.rpartition("/")[2]
    newest = f"{name}/revisions/{short}-{count:05d}-tst"
    state: dict[str, Any] = {"type": "Ready", "state": "CONDITION_FAILED" if failure else "CONDITION_SUCCEEDED"}
    if failure:
        state |= {"message": failure, "revisionReason": "HEALTH_CHECK_CONTAINER_ERROR"}
    service = {
        **body,
        "name": name,
        "generation": str(generation),
        "observedGeneration": str(generation),
        "etag": f'"{generation}"',
        "annotations": {**body.get("annotations", {}), "test/revisions": str(count)},
        "uri": f"https://{short}-123456789012.us-central1.run.app",
        "terminalCondition": state if failure is not None else body["terminalCondition"],
        "latestCreatedRevision": newest,
    }
    if failure is None:
        service["latestCreatedRevision"] = body["latestCreatedRevision"]
    elif not failure:
        service["latestReadyRevision"] = newest
    ready = service.get("latestReadyRevision", "").rpartition("/")[2]
    service["trafficStatuses"] = [_status(t, ready, service["uri"]) for t in service["traffic"]]
    made = f"2026-11-22T12:{count // 60:02d}:{count % 60:02d}Z"
    inherited = {key: value for key, value in body["template"].items() if key not in ("revision", "labels", "annotations")}
    revision = {**inherited, "name": newest, "createTime": made, "conditions": [state]}
    return service, revision if failure is not None else None


def under_way(after: Json, before: Json) -> Json:
    """The service while its rollout runs: what serves is what served before it."""
    now = {**after, "reconciling": True, "terminalCondition": {"type": "Ready", "state": "CONDITION_RECONCILING"}}
    now.pop("latestReadyRevision", None)
    ready = before.get("latestReadyRevision", "")
    statuses = [_status(t, ready.rpartition("/")[2], after["uri"]) for t in after["traffic"]]
    return {**now, **({"latestReadyRevision": ready} if ready else {}), "trafficStatuses": statuses}


def _status(target: Json, ready: str, uri: str) -> Json:
    """Where a target leads to now, and the address of its tag."""
    tag = {"uri": uri.replace("://", f"://{target['tag']}---")} if target.get("tag") else {}
    return {**target, **({"revision": target.get("revision") or ready} if ready else {}), **tag}
