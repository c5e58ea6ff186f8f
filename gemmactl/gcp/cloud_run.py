"""Cloud Run services and revisions as v2 JSON. Knows not what a service is for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import Json

API: Final = "run.googleapis.com"
INTERNAL: Final = 500


class CloudRun:
    """Implements `cloud.Run`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._services = wire.client(_services)
        self._revisions = wire.client(_revisions)

    def get(self, name: str) -> Json | None:
        return self._wire.find(API, _short(name), lambda: _json(self._call("get_service", {"name": name})))

    def list(self, region: str) -> tuple[Json, ...]:
        request = {"parent": f"projects/{self._wire.project}/locations/{region}"}
        doing = f"the services in {region}"
        return self._wire.find(API, doing, lambda: tuple(_json(s) for s in self._call("list_services", request))) or ()

    def create(self, parent: str, service_id: str, body: Json, *, validate_only: bool = False) -> str:
        def ask() -> Any:
            from google.cloud.run_v2 import CreateServiceRequest

            request = CreateServiceRequest(
                parent=parent, service_id=service_id, service=_message(body), validate_only=validate_only
            )
            return self._call("create_service", request)

        doing = f"making service {service_id}"
        return self._rehearsed(doing, ask) if validate_only else str(self._wire.send(API, doing, ask).operation.name)

    def update(self, body: Json, mask: Iterable[str], *, validate_only: bool = False) -> str:
        paths = [snake(part) for part in mask]

        def ask() -> Any:
            from google.cloud.run_v2 import UpdateServiceRequest

            request = UpdateServiceRequest(service=_message(body), update_mask={"paths": paths}, validate_only=validate_only)
            return self._call("update_service", request)

        doing = f"changing {_short(body['name'])}"
        return self._rehearsed(doing, ask) if validate_only else str(self._wire.send(API, doing, ask).operation.name)

    def delete(self, name: str) -> str:
        found = self._wire.find(API, f"deleting {_short(name)}", lambda: self._call("delete_service", {"name": name}))
        return str(found.operation.name) if found is not None else ""

    def finished(self, operation: str) -> bool:
        if not operation:
            return True

        def ask() -> Any:
            return self._services().get_operation(request={"name": operation}, timeout=TIMEOUT)

        found = self._wire.read(API, "the rollout", ask)
        self._raise_error(found, "the rollout")
        return bool(found.done)

    def revision(self, name: str) -> Json | None:
        def ask() -> Json:
            return _json(self._revisions().get_revision(request={"name": name}, retry=None, timeout=TIMEOUT))

        return self._wire.find(API, f"revision {name.rpartition('/')[2]}", ask)

    def revisions(self, service: str) -> tuple[Json, ...]:
        def ask() -> tuple[Json, ...]:
            pages = self._revisions().list_revisions(request={"parent": service}, retry=None, timeout=TIMEOUT)
            return tuple(sorted((_json(one) for one in pages), key=_created, reverse=True))

        return self._wire.find(API, f"revisions of {_short(service)}", ask) or ()

    def _rehearsed(self, doing: str, ask: Callable[[], Any]) -> str:
        """A dry run changes nothing, so it may be tried again like a read. Its operation can't be asked for later."""
        self._raise_error(self._wire.read(API, doing, ask).operation, doing)
        return ""

    def _raise_error(self, operation: Any, doing: str) -> None:
        if not (operation.done and operation.HasField("error")):
            return
        from google.api_core.exceptions import from_grpc_status

        def fail() -> None:
            code, said = operation.error.code, operation.error.message
            raise from_grpc_status(code, said, details=_details(operation.error))  # type: ignore[no-untyped-call]  # the library is untyped here

        try:
            self._wire.send(API, doing, fail)
        except Trouble as trouble:
            if trouble.facts.get("status") == INTERNAL:
                # the answer of an operation that has ended, not a server that stumbled: each new revision would fail alike
                trouble.facts.pop("passing", None)
            raise

    def _call(self, method: str, request: Any) -> Any:
        return getattr(self._services(), method)(request=request, retry=None, timeout=TIMEOUT)


def snake(camel: str) -> str:
    """`invokerIamDisabled` -> `invoker_iam_disabled`: how a field mask wants it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"_{m[1].lower()}", camel)


def _message(body: Json) -> Any:
    """The body as the API's own message: an unknown field is a fault of ours and raises here."""
    from google.cloud.run_v2 import Service
    from google.protobuf.json_format import ParseDict

    return Service.wrap(ParseDict(body, Service.pb(Service())))


def _json(message: Any) -> Json:
    from google.protobuf.json_format import MessageToDict

    found: Json = MessageToDict(type(message).pb(message))
    return found


def _created(revision: Json) -> tuple[str, int]:
    """Without the Z, of which a text with a fraction has less: as text the times are then in order."""
    return str(revision.get("createTime", "")).rstrip("Z"), int(revision.get("generation", 0))


def _details(status: Any) -> Any:
    """ErrorInfo and the like out of an operation's error."""
    from google.rpc import error_details_pb2 as known

    out = []
    for packed in status.details:
        for kind in (known.ErrorInfo, known.BadRequest):
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                packed.Unpack(message)
                out.append(message)
    return out


def _short(name: str) -> str:
    return f"service {name.rpartition('/')[2]}"


def _services() -> Any:
    from google.cloud.run_v2 import ServicesClient

    return ServicesClient


def _revisions() -> Any:
    from google.cloud.run_v2 import RevisionsClient

    return RevisionsClient
