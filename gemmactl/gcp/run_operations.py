"""What services and jobs of Cloud Run have in common on the wire: JSON, operations, dry runs. Knows neither of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import Json

API: Final = "run.googleapis.com"
ENDED: Final = frozenset({500, 504})
"""INTERNAL and DEADLINE_EXCEEDED: of a request they may pass, of an operation that has ended they are its result."""


@dataclass(frozen=True)
class Operations:
    """Asked over one client, whichever: they all know `get_operation`. `awaited`: what is being waited for, for messages."""

    wire: Wire
    client: Callable[[], Any]
    awaited: str

    def get(self, name: str) -> Any:
        """The operation, however it ended."""

        def ask() -> Any:
            return self.client().get_operation(request={"name": name}, timeout=TIMEOUT)

        return self.wire.read(API, self.awaited, ask)

    def finished(self, name: str) -> bool:
        """One poll. Raises Trouble when it ended in an error."""
        if not name:
            return True
        found = self.get(name)
        self.check(found, self.awaited)
        return bool(found.done)

    def begun(self, doing: str, ask: Callable[[], Any], *, dry: bool) -> str:
        """Name of the operation that `ask` starts.

        A dry run changes nothing, so it may be tried again like a read. Its operation can't be asked for later: no name.
        """
        if not dry:
            return str(self.wire.send(API, doing, ask).operation.name)
        self.check(self.wire.read(API, doing, ask).operation, doing)
        return ""

    def deleted(self, doing: str, ask: Callable[[], Any]) -> str:
        """Already gone is done: then there is no operation."""
        found = self.wire.find(API, doing, ask)
        return str(found.operation.name) if found is not None else ""

    def check(self, operation: Any, doing: str) -> None:
        """Raise the error that an operation ended in."""
        if not (operation.done and operation.HasField("error")):
            return
        from google.api_core.exceptions import from_grpc_status

        def fail() -> None:
            code, said = operation.error.code, operation.error.message
            raise from_grpc_status(code, said, details=_details(operation.error))  # type: ignore[no-untyped-call]  # the library is untyped here

        try:
            self.wire.send(API, doing, fail)
        except Trouble as trouble:
            if trouble.facts.get("status") in ENDED:
                trouble.facts.pop("passing", None)
            raise


def message(kind: Any, body: Json) -> Any:
    """The body as the API's own message: an unknown field is a fault of ours and raises here."""
    from google.protobuf.json_format import ParseDict

    return kind.wrap(ParseDict(body, kind.pb(kind())))


def plain(found: Any) -> Json:
    """A message as JSON."""
    from google.protobuf.json_format import MessageToDict

    out: Json = MessageToDict(type(found).pb(found))
    return out


def created(one: Json) -> tuple[str, int]:
    """What the newest has most of. Without the Z, of which a fraction has less: as text the times are then in order."""
    return str(one.get("createTime", "")).rstrip("Z"), int(one.get("generation", 0))


def _details(status: Any) -> Any:
    """ErrorInfo and the like out of an operation's error."""
    from google.rpc import error_details_pb2 as known

    out = []
    for packed in status.details:
        for kind in (known.ErrorInfo, known.BadRequest):
            if packed.Is(kind.DESCRIPTOR):
                unpacked = kind()
                packed.Unpack(unpacked)
                out.append(unpacked)
    return out
