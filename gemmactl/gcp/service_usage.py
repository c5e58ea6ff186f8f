"""Service Usage: which APIs are enabled, and enabling them. Knows not what they are for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gemmactl.gcp.wire import SETTLING, TIMEOUT, Wire

API: Final = "serviceusage.googleapis.com"
STORAGE: Final = "storage.googleapis.com"
AGENT: Final = 60.0
"""Seconds that making a service agent may take."""
AT_ONCE: Final = 20
"""The most that one batchEnable takes."""


class ServiceUsage:
    """Implements `cloud.Apis`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._client = wire.client(_client)

    def enabled(self, names: Iterable[str]) -> frozenset[str]:
        from google.cloud.service_usage_v1 import BatchGetServicesRequest, State

        parent = f"projects/{self._wire.project}"
        found: set[str] = set()
        for part in _parts(names):
            request = BatchGetServicesRequest(parent=parent, names=[f"{parent}/services/{n}" for n in part])

            def ask(request: Any = request) -> Any:
                return self._client().batch_get_services(request=request, retry=None, timeout=TIMEOUT)

            answer = self._wire.read(API, "the list of enabled APIs", ask, "serviceusage.services.get")
            found |= {s.name.rpartition("/")[2] for s in answer.services if s.state == State.ENABLED}
        return frozenset(found)

    def enable(self, names: Iterable[str]) -> None:
        from google.cloud.service_usage_v1 import BatchEnableServicesRequest

        for part in _parts(names):
            request = BatchEnableServicesRequest(parent=f"projects/{self._wire.project}", service_ids=part)

            def ask(request: Any = request) -> Any:
                return self._client().batch_enable_services(request=request, retry=None, timeout=TIMEOUT)

            doing = "enabling APIs"
            self._wire.wait(API, doing, self._wire.send(API, doing, ask), 600.0)
            self._wire.enabled |= dict.fromkeys(part, self._wire.clock.now() + SETTLING)

    def agent(self, name: str) -> str:
        doing = f"the service agent of {name}"
        if name == STORAGE:  # made when it is asked for; the other method does not know it
            path = f"/storage/v1/projects/{self._wire.project}/serviceAccount"
            return str(self._wire.read(name, doing, lambda: self._wire.rest(STORAGE, "GET", path))["email_address"])
        path = f"/v1beta1/projects/{self._wire.project}/services/{name}:generateServiceIdentity"
        found: Any = self._wire.send(API, doing, lambda: self._wire.rest(API, "POST", path))
        until = self._wire.clock.now() + AGENT
        while not found.get("done"):
            if self._wire.clock.now() > until:
                break  # the grant itself says whether the account is there
            self._wire.clock.sleep(1.0)
            path = f"/v1beta1/{found['name']}"
            found = self._wire.read(API, doing, lambda: self._wire.rest(API, "GET", path))  # noqa: B023 - read calls it at once
        return str(found.get("response", {}).get("email", ""))


def _parts(names: Iterable[str]) -> list[list[str]]:
    ordered = sorted(set(names))
    return [ordered[i : i + AT_ONCE] for i in range(0, len(ordered), AT_ONCE)]


def _client() -> Any:
    from google.cloud.service_usage_v1 import ServiceUsageClient

    return ServiceUsageClient
