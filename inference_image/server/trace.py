"""Owns the trace ids of a request, as Cloud Logging files lines by them. Header values are data: what isn't exact is no trace."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

_W3C: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_GOOGLE: Final = re.compile(rb"([0-9a-fA-F]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?")
_PROJECT: Final = re.compile(r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")


@dataclass(frozen=True)
class Trace:
    """`span` has 16 hexadecimal digits, or is empty where the caller named none."""

    id: str
    span: str
    sampled: bool

    def fields(self, project: str) -> dict[str, Any]:
        """The special fields of https://cloud.google.com/logging/docs/structured-logging; the bare id without a project."""
        if not _PROJECT.fullmatch(project):
            return {"trace_id": self.id}
        span = {"logging.googleapis.com/spanId": self.span} if self.span else {}
        return {
            "logging.googleapis.com/trace": f"projects/{project}/traces/{self.id}",
            **span,
            "logging.googleapis.com/trace_sampled": self.sampled,
        }


def trace_of(headers: Iterable[tuple[bytes, bytes]]) -> Trace | None:
    """W3C's `traceparent` where it is right, else Google's older header; a header that came twice counts as absent."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in (b"traceparent", b"x-cloud-trace-context"):
            found.setdefault(name, []).append(value)
    return _w3c(found.get(b"traceparent", [])) or _google(found.get(b"x-cloud-trace-context", []))


def _w3c(values: list[bytes]) -> Trace | None:
    match = _W3C.fullmatch(values[0]) if len(values) == 1 and len(values[0]) <= 200 else None
    # Version ff is forbidden, and only versions to come may have more behind the flags.
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5]):
        return None
    if not int(match[2], 16) or not int(match[3], 16):
        return None
    return Trace(match[2].decode(), match[3].decode(), bool(int(match[4], 16) & 1))


def _google(values: list[bytes]) -> Trace | None:
    match = _GOOGLE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or not int(match[1], 16):
        return None
    span = int(match[2] or 0)
    return Trace(match[1].decode().lower(), f"{span:016x}" if 0 < span < 1 << 64 else "", match[3] == b"1")
