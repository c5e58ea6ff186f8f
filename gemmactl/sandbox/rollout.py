"""From a service's wished template to a revision that serves, or to a condition that says why not. Knows no request."""

from __future__ import annotations

import random
import threading
import uuid
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox import images
from gemmactl.sandbox.blobs import stamp
from gemmactl.sandbox.containers import Containers
from gemmactl.sandbox.run_etags import new_etag
from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from gemmactl.sandbox.proxy import Fronts
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
SERVICES: Final = "services"
REVISIONS: Final = "revisions"
LATEST: Final = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
_OF_THE_REVISION: Final = (
    "labels", "annotations", "scaling", "vpcAccess", "maxInstanceRequestConcurrency", "timeout", "serviceAccount", "containers",
    "volumes", "executionEnvironment", "sessionAffinity", "nodeSelector", "gpuZonalRedundancyDisabled",
)  # fmt: skip


class Rollout:
    """Makes revisions, one at a time for each service."""

    def __init__(self, world: World, containers: Containers, fronts: Fronts) -> None:
        self._world = world
        self._containers = containers
        self._fronts = fronts
        self._locks: dict[str, threading.Lock] = {}

    def recover(self) -> None:
        """Go on with what a stopped daemon had begun, and open every service's port."""
        for name, service in self._world.store.items(SERVICES):
            self._fronts.open(name, service)
            if service["uri"] != self._fronts.uri(name):  # the port was taken while the daemon was away
                self._change(name, uri=self._fronts.uri(name), urls=[self._fronts.uri(name)])
            if service.get("reconciling"):
                threading.Thread(target=self._again, args=(name,), daemon=True).start()

    def _again(self, name: str) -> None:
        while not self._world.base_url:  # an instance needs the server's address, which is bound after this
            self._world.clock.sleep(0.05)
        try:
            self.roll(name, new_revision=True)
        except ApiError:
            return  # the service's condition says it

    def roll(self, name: str, *, new_revision: bool) -> Json:
        """Bring the stored service to what it wishes. Returns it when it is ready.

        Raises:
            ApiError: Cloud Run's sentence; the service then has Ready = False, and the old revision goes on serving.
        """
        with self._locks.setdefault(name, threading.Lock()):
            service = self._get(name)
            error: ApiError | None = None
            # an update that waited for another one's rollout finds its own template already there
            if new_revision and not self._settled(service):
                try:
                    self._revise(name, service)
                except ApiError as raised:
                    error = raised
            service = self._settle(name, str(service["generation"]), self._verdict(name, service, error, new_revision))
        self._retire(name, service)
        if error:
            raise error
        return service

    def _verdict(self, name: str, service: Json, error: ApiError | None, new_revision: bool) -> Json:
        """Ready or why not; a change beside the template heals no revision that failed."""
        # guess: as in Knative, where a service is ready when its newest revision and its routes are
        newest = self._world.store.get(REVISIONS, service.get("latestCreatedRevision", "")) or {}
        failed_before = next((c for c in newest.get("conditions", []) if c["state"] == "CONDITION_FAILED"), None)
        return failed_before if failed_before and not new_revision else self._condition("Ready", error)

    @staticmethod
    def _settled(service: Json) -> bool:
        done = service.get("observedGeneration") == service["generation"]
        return done and bool(service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED")

    # --- the new revision
    def _revise(self, name: str, service: Json) -> None:
        world, template = self._world, service["template"]
        revision = template.get("revision") or f"{name.rpartition('/')[2]}-{int(service['generation']):05d}-{_suffix()}"
        full = f"{name}/revisions/{revision}"
        if world.store.get(REVISIONS, full):
            raise failed("ALREADY_EXISTS", f"Revision named '{revision}' with different configuration already exists.")  # guess
        now = stamp(world.clock.now())
        document: Json = {
            **{k: template[k] for k in _OF_THE_REVISION if k in template},
            "name": full,
            "uid": str(uuid.uuid4()),
            "generation": "1",
            "createTime": now,
            "updateTime": now,
            "service": name.rpartition("/")[2],
            "launchStage": service.get("launchStage", "GA"),
            "logUri": f"{world.base_url}/sandbox/logs?revision={revision}",
            "reconciling": True,
            "etag": new_etag(),
        }
        world.store.put(REVISIONS, full, document)
        self._change(name, latestCreatedRevision=full)
        try:
            self._start(full, document, probed=not template.get("healthCheckDisabled", False))
        except ApiError as error:
            world.store.put(
                REVISIONS,
                full,
                {
                    **document,
                    "reconciling": False,
                    "conditions": [self._condition("Ready", error), *document.get("conditions", [])],
                },
            )
            raise
        world.store.put(
            REVISIONS,
            full,
            {**document, "reconciling": False, "conditions": [self._condition("Ready", None), *document["conditions"]]},
        )
        self._change(name, latestReadyRevision=full)

    def _start(self, full: str, document: Json, *, probed: bool) -> None:
        not_ready = f"Revision '{full.rpartition('/')[2]}' is not ready and cannot serve traffic. "
        image = images.resolve(self._world, document["containers"][0]["image"])
        if image is None:
            # source: corpus img-002
            raise failed("NOT_FOUND", f"{not_ready}Image '{document['containers'][0]['image']}' not found.")
        kept = {
            "root": image["root"],
            "config": image["config"],
            "digest": image["digest"],
            "defaultProbe": is_default_probe(document),
        }
        self._world.store.put("revision_images", full, kept)
        # guess: the type is Knative's, as gcloud shows it while it deploys
        document["conditions"] = [self._condition("ContainerReady", None)]
        self._world.store.put(REVISIONS, full, document)
        if probed:
            self._containers.ensure(full)

    # --- the service around it
    def _settle(self, name: str, generation: str, condition: Json) -> Json:
        """Write how the rollout of one generation ended; a newer one may be waiting already."""
        service = self._get(name)
        service = self._change(
            name,
            reconciling=service["generation"] != generation,
            observedGeneration=generation,
            terminalCondition=condition,
            conditions=[{**condition, "type": "RoutesReady"}, {**condition, "type": "ConfigurationsReady"}],
            trafficStatuses=self._statuses(name, service),
        )
        self._fronts.open(name, service)
        return service

    def _statuses(self, name: str, service: Json) -> list[Json]:
        out = []
        for target in service.get("traffic", []):
            status = dict(target)
            if target.get("type") == LATEST and service.get("latestReadyRevision"):
                status["revision"] = service["latestReadyRevision"].rpartition("/")[2]
            if target.get("tag"):
                status["uri"] = self._fronts.uri(name, target["tag"])
            out.append(status)
        return out

    def _retire(self, name: str, service: Json) -> None:
        """Stop instances of revisions that no traffic and no tag reaches any more; of a disabled service all with traffic."""
        reached = [s for s in service["trafficStatuses"] if s.get("revision")]
        if disabled(service):
            busy = {s["revision"] for s in reached if s.get("percent")}
            reached = [s for s in reached if s["revision"] not in busy]
        wanted = {f"{name}/revisions/{s['revision']}" for s in reached}
        for full, _ in self._world.store.items(REVISIONS):
            if full.startswith(f"{name}/revisions/") and full not in wanted:
                self._containers.stop(full)

    def _condition(self, kind: str, error: ApiError | None) -> Json:
        now = stamp(self._world.clock.now())
        if error is None:
            return {"type": kind, "state": "CONDITION_SUCCEEDED", "lastTransitionTime": now}
        out = {
            "type": kind,
            "state": "CONDITION_FAILED",
            "message": error.message,
            "lastTransitionTime": now,
            "severity": "ERROR",
        }
        if error.status == "NOT_FOUND":
            return {**out, "reason": "CONTAINER_MISSING"}
        if error.status == "INTERNAL":
            return {**out, "reason": "SECRETS_ACCESS_CHECK_FAILED"}
        return {**out, "revisionReason": "HEALTH_CHECK_CONTAINER_ERROR"}

    def _get(self, name: str) -> Json:
        service = self._world.store.get(SERVICES, name)
        if service is None:
            raise failed(
                "NOT_FOUND",
                f"Resource '{name.rpartition('/')[2]}' of kind 'SERVICE' in region '{name.split('/')[3]}' does not exist.",
            )
        return service

    def _change(self, name: str, **fields: Any) -> Json:
        with self._world.store.lock:
            service = {
                **self._get(name),
                **fields,
                "updateTime": stamp(self._world.clock.now()),
                "etag": new_etag(),
            }
            self._world.store.put(SERVICES, name, service)
        return service


def is_default_probe(template: Json) -> bool:
    """Is it the probe that the server adds to a container without one?"""
    container = template["containers"][0]
    port = container["ports"][0]["containerPort"]
    default = {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": port}}
    return bool(container["startupProbe"] == default)


def _suffix() -> str:
    return "".join(random.choices("bcdfghjklmnpqrstvwxz", k=3))  # noqa: S311 - a name, no secret


def disabled(service: Json) -> bool:
    """Manual scaling to 0. Source: Cloud Run's page on manual scaling; a revision that only a tag reaches still starts."""
    scaling = service.get("scaling", {})
    return scaling.get("scalingMode") == "MANUAL" and not scaling.get("manualInstanceCount")


def revision_of(service: Json, tag: str) -> str:
    """The revision (full name) that answers a request to the service, or to one of its tags; "" when none does."""
    base = f"{service['name']}/revisions/"
    statuses = service.get("trafficStatuses", [])
    if tag:
        return next((base + s["revision"] for s in statuses if s.get("tag") == tag and s.get("revision")), "")
    shares = [(base + s["revision"], s.get("percent", 0)) for s in statuses if s.get("revision") and s.get("percent")]
    if not shares:
        return ""
    names, weights = zip(*shares, strict=True)
    return str(random.choices(names, weights)[0])  # noqa: S311 - shares of traffic, no secret
