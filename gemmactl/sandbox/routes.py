"""Routes of the Google APIs, read off the official clients' own REST transports. Knows no behaviour.

Each GAPIC package says in `transports/rest_base.py` how a method travels (verb, URI template, body) and in `rest.py` which
request type it takes. So JSON is parsed into the real message, and a new client version brings its own fields and routes.
"""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from google.protobuf.message import Message

from gemmactl.sandbox.binding import bind_body, bind_text
from gemmactl.sandbox.wire import Request

CLIENTS: Final = {
    "google.cloud.run_v2.services.services": "run.googleapis.com",
    "google.cloud.run_v2.services.revisions": "run.googleapis.com",
    "google.cloud.run_v2.services.jobs": "run.googleapis.com",
    "google.cloud.run_v2.services.executions": "run.googleapis.com",
    "google.cloud.run_v2.services.tasks": "run.googleapis.com",
    "google.cloud.artifactregistry_v1.services.artifact_registry": "artifactregistry.googleapis.com",
    "google.cloud.secretmanager_v1.services.secret_manager_service": "secretmanager.googleapis.com",
    "google.cloud.devtools.cloudbuild_v1.services.cloud_build": "cloudbuild.googleapis.com",
    "google.cloud.service_usage_v1.services.service_usage": "serviceusage.googleapis.com",
    "google.cloud.cloudquotas_v1.services.cloud_quotas": "cloudquotas.googleapis.com",
    "google.cloud.resourcemanager_v3.services.projects": "cloudresourcemanager.googleapis.com",
}

_IGNORED: Final = frozenset(("alt", "$alt", "prettyPrint", "$prettyPrint", "fields", "quotaUser", "key", "$.xgafv"))
"""System parameters: they shape the answer, not the request. Source: cloud.google.com/apis/docs/system-parameters."""


@dataclass(frozen=True)
class Route:
    """One method, one URI template."""

    key: str
    """`run_v2.Services.CreateService`"""
    api: str
    verb: str
    path: re.Pattern[str]
    body: str
    """`*`, the name of a field, or "" for none."""
    request: type[Message]

    def message(self, request: Request, variables: dict[str, str]) -> Message:
        """The request as the API's own message.

        Raises:
            ApiError: 400 that names the unknown field, the wrong type or the wrong enum.
        """
        message = self.request()
        if self.body and request.body:
            bind_body(message, "" if self.body == "*" else self.body, request.body)
        for name, value in variables.items():
            bind_text(message, name.replace("__", "."), [_decoded(value)])
        for name, values in request.query.items():
            if name not in _IGNORED:
                bind_text(message, name, values)
        return message


def find(request: Request) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the variables in its path."""
    for route in _by_verb().get(request.method, ()):
        found = route.path.fullmatch(request.path)
        if found:
            return route, found.groupdict()
    return None


def load() -> int:
    """Read all routes now; how many there are."""
    return sum(len(routes) for routes in _by_verb().values())


@cache
def _by_verb() -> dict[str, list[Route]]:
    routes: dict[str, list[Route]] = {}
    for module, api in CLIENTS.items():
        for route in _of_client(module, api):
            routes.setdefault(route.verb, []).append(route)
    for same in routes.values():
        # `secrets/S:access` also fits `secrets/*`: templates with a custom verb come first
        same.sort(key=lambda route: ":" not in route.path.pattern.rpartition("/")[2])
    return routes


def _of_client(module: str, api: str) -> Iterator[Route]:
    methods = importlib.import_module(f"{module}.transports.rest_base")
    calls = importlib.import_module(f"{module}.transports.rest")
    base = next(c for name, c in vars(methods).items() if name.startswith("_Base") and name.endswith("RestTransport"))
    service = base.__name__.removeprefix("_Base").removesuffix("RestTransport")
    transport = getattr(calls, f"{service}RestTransport")
    package = module.removeprefix("google.cloud.").removeprefix("devtools.").partition(".")[0]
    for name, method in vars(base).items():
        # operations are the same for every API and answered in one place: operation_routes
        if not inspect.isclass(method) or not hasattr(method, "_get_http_options") or name.endswith(("Operation", "Operations")):
            continue
        hints = typing.get_type_hints(getattr(transport, name.replace("_Base", "_")).__call__)
        if "request" not in hints:
            continue
        for option in method._get_http_options():  # noqa: SLF001 - the only place where a client says how a method travels
            key = f"{package}.{service}.{name.removeprefix('_Base')}"
            yield Route(
                key, api, option["method"].upper(), _pattern(option["uri"]), option.get("body", ""), plain(hints["request"])
            )


def plain(wrapped: Any) -> type[Message]:
    """The protobuf class below a proto-plus class; a protobuf class as it is."""
    found: type[Message] = type(wrapped.pb(wrapped())) if hasattr(wrapped, "pb") else wrapped
    return found


def _decoded(value: str) -> str:
    """Percent-decoded but for `%2F`, which is part of a name there. Source: google/api/http.proto, multi-segment variables."""
    return "%2F".join(unquote(part) for part in re.split("%2[fF]", value))


def _pattern(uri: str) -> re.Pattern[str]:
    """A google.api.http template as an expression with one named group per variable (dots become `__`)."""
    out, end = "", 0
    for found in re.finditer(r"\{([\w.]+)(?:=([^}]*))?\}", uri):
        inside = re.escape(found[2] or "*").replace(r"\*\*", ".+").replace(r"\*", "[^/]+")
        out += re.escape(uri[end : found.start()]) + f"(?P<{found[1].replace('.', '__')}>{inside})"
        end = found.end()
    return re.compile(out + re.escape(uri[end:]))
