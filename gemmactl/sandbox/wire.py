"""The shapes that cross the sandbox's port: a request, a response, Google's error. Knows no route and no state."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from gemmactl.sandbox.codes import HTTP_OF, NUMBER_OF

SPOOL_ABOVE: Final = 8 << 20
"""Bodies of `/upload/` requests that are larger than this stay in a file: a checkpoint does not fit in memory."""


@dataclass(frozen=True)
class Request:
    """One HTTP request after its token was checked. `caller` is an IAM member, or "" for nobody.

    A large upload is not in `body` but in the file `spool` (deleted after the answer): read it with `open()`, which serves both.
    """

    method: str
    host: str
    path: str
    """As sent, without the query and still percent-encoded: `%2F` inside an object's name is not a separator."""
    query: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Keys in lower case."""
    body: bytes = b""
    caller: str = ""
    spool: Path | None = None

    def open(self) -> BinaryIO:
        """The body as a file, wherever it is."""
        return self.spool.open("rb") if self.spool else io.BytesIO(self.body)

    @property
    def size(self) -> int:
        """Bytes in the body."""
        return self.spool.stat().st_size if self.spool else len(self.body)

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return (self.query.get(name) or [default])[0]


@dataclass
class Response:
    """One HTTP answer. An iterator as body is sent chunked unless `headers` has a content-length."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""


class ApiError(Exception):
    """An error as a Google API gives it: HTTP code, canonical status, message, details as JSON with "@type"."""

    def __init__(self, code: int, status: str, message: str, details: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.details = details

    @property
    def number(self) -> int:
        """The google.rpc.Code, as an operation's error carries it."""
        return NUMBER_OF.get(self.status, 2)


class CutConnection(Exception):  # noqa: N818 - an event on the wire, not a fault of the program
    """Raised by a behaviour or a body's iterator: the server resets the connection instead of finishing the answer."""


def failed(status: str, message: str, *details: dict[str, Any]) -> ApiError:
    """An ApiError whose HTTP code follows from its canonical status, as at Google."""
    return ApiError(HTTP_OF[status], status, message, details)


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(status, {"content-type": "application/json; charset=UTF-8", **(headers or {})}, json.dumps(document).encode())


def error_response(error: ApiError) -> Response:
    """Google's JSON error body."""
    document: dict[str, Any] = {"code": error.code, "message": error.message, "status": error.status}
    if error.details:
        document["details"] = list(error.details)
    return json_response({"error": document}, error.code)
