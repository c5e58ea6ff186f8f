"""Cloud Run services and revisions as v2 JSON. Knows not what a service is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gemmactl.gcp.run_operations import API, Operations, created, message, plain
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import Json


class CloudRun:
    """Implements `cloud.Run`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._services = wire.client(_services)
        self._revisions = wire.client(_revisions)
        self._operations = Operations(wire, self._services, "the rollout")

    def get(self, name: str) -> Json | None:
        return self._wire.find(API, _short(name), lambda: plain(self._call("get_service", {"name": name})))

    def list(self, region: str) -> tuple[Json, ...]:
        request = {"parent": f"projects/{self._wire.project}/locations/{region}"}
        doing = f"the services in {region}"
        return self._wire.find(API, doing, lambda: tuple(plain(s) for s in self._call("list_services", request))) or ()

    def create(self, parent: str, service_id: str, body: Json, *, validate_only: bool = False) -> str:
        def ask() -> Any:
            from google.cloud.run_v2 import CreateServiceRequest, Service

            request = CreateServiceRequest(
                parent=parent, service_id=service_id, service=message(Service, body), validate_only=validate_only
            )
            return self._call("create_service", request)

        return self._operations.begun(f"making service {service_id}", ask, dry=validate_only)

    def update(self, body: Json, mask: Iterable[str], *, validate_only: bool = False) -> str:
        paths = [snake(part) for part in mask]

        def ask() -> Any:
            from google.cloud.run_v2 import Service, UpdateServiceRequest

            request = UpdateServiceRequest(
                service=message(Service, body), update_mask={"paths": paths}, validate_only=validate_only
            )
            return self._call("update_service", request)

        return self._operations.begun(f"changing {_short(body['name'])}", ask, dry=validate_only)

    def delete(self, name: str) -> str:
        return self._operations.deleted(f"deleting {_short(name)}", lambda: self._call("delete_service", {"name": name}))

    def finished(self, operation: str) -> bool:
        return self._operations.finished(operation)

    def revision(self, name: str) -> Json | None:
        def ask() -> Json:
            return plain(self._revisions().get_revision(request={"name": name}, retry=None, timeout=TIMEOUT))

        return self._wire.find(API, f"revision {name.rpartition('/')[2]}", ask)

    def revisions(self, service: str) -> tuple[Json, ...]:
        def ask() -> tuple[Json, ...]:
            pages = self._revisions().list_revisions(request={"parent": service}, retry=None, timeout=TIMEOUT)
            return tuple(sorted((plain(one) for one in pages), key=created, reverse=True))

        return self._wire.find(API, f"revisions of {_short(service)}", ask) or ()

    def _call(self, method: str, request: Any) -> Any:
        return getattr(self._services(), method)(request=request, retry=None, timeout=TIMEOUT)


def snake(camel: str) -> str:
    """`invokerIamDisabled` -> `invoker_iam_disabled`: how a field mask wants it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"_{m[1].lower()}", camel)


def _short(name: str) -> str:
    return f"service {name.rpartition('/')[2]}"


def _services() -> Any:
    from google.cloud.run_v2 import ServicesClient

    return ServicesClient


def _revisions() -> Any:
    from google.cloud.run_v2 import RevisionsClient

    return RevisionsClient
