"""From a request to its behaviour: fault, API enabled, message parsed, behaviour called, answer in JSON. Knows no socket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from google.longrunning import operations_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from gemmactl.sandbox import routes
from gemmactl.sandbox.wire import ApiError, Request, Response, error_response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

TITLES: Final = {
    "cloudbilling.googleapis.com": "Cloud Billing API",
    "compute.googleapis.com": "Compute Engine API",
    "orgpolicy.googleapis.com": "Organization Policy API",
    "artifactregistry.googleapis.com": "Artifact Registry API",
    "cloudbuild.googleapis.com": "Cloud Build API",
    "cloudquotas.googleapis.com": "Cloud Quotas API",
    "iam.googleapis.com": "Identity and Access Management (IAM) API",
    "logging.googleapis.com": "Cloud Logging API",
    "run.googleapis.com": "Cloud Run Admin API",
    "secretmanager.googleapis.com": "Secret Manager API",
    "storage.googleapis.com": "Cloud Storage JSON API",
}

ALWAYS: Final = frozenset(("cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com"))
"""A user's own requests to these are counted to the login client's project, so they answer before anything is enabled."""

_OPERATION: Final = re.compile(r"/v\d/(?P<name>(?:projects/[^/]+/locations/[^/]+/)?operations/[^:?]+?)(?P<verb>:wait|:cancel)?")
_OPERATIONS: Final = re.compile(r"/v\d/(?P<parent>projects/[^/]+/locations/[^/]+)/operations")


def answer(world: World, request: Request) -> Response:
    """The answer to one request whose token was good. Google's error body for an ApiError; CutConnection passes through."""
    try:
        world.faults.hit(request, "before")
        response = _dispatch(world, request)
        world.faults.hit(request, "after")
    except ApiError as error:
        return error_response(error)
    return response


def require_enabled(world: World, api: str) -> None:
    """Nothing, or the 403 of an API that the project has not enabled."""
    if api in ALWAYS or world.enabled(api):
        return
    title = TITLES.get(api, api)
    link = f"https://console.developers.google.com/apis/api/{api}/overview?project={world.number}"
    raise failed(
        "PERMISSION_DENIED",
        # source: shared corpus api-002, api-005 (reproduced, verbatim)
        f"{title} has not been used in project {world.number} before or it is disabled. Enable it by visiting {link} then retry. "
        "If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{"description": "Google developers console API activation", "url": link}],
        },
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": {"service": api, "consumer": f"projects/{world.number}"},
        },
    )


def _dispatch(world: World, request: Request) -> Response:
    for pattern, handler in world.raw:
        if pattern.match(request.path):
            return handler(world, request)
    operation = _operation(world, request)
    if operation is not None:
        return _json(request, operation)
    found = routes.find(request)
    if found is None:
        raise failed("NOT_FOUND", f"The sandbox has no route for {request.method} {request.path}")
    route, variables = found
    require_enabled(world, route.api)
    message = route.message(request, variables)
    behaviour = world.behaviours.get(route.key)
    if behaviour is None:
        raise failed("UNIMPLEMENTED", f"The sandbox does not have {route.key}")
    return _json(request, behaviour(world, request.caller, message))


def _operation(world: World, request: Request) -> Message | None:
    """What every API's operations service answers: get, list, wait, cancel, delete."""
    many = _OPERATIONS.fullmatch(request.path)
    if many and request.method == "GET":
        found = world.operations.list(world.name(many["parent"]) + "/operations/")
        return operations_pb2.ListOperationsResponse(operations=found)
    one = _OPERATION.fullmatch(request.path)
    if not one:
        return None
    name = world.name(one["name"])
    if request.path.startswith("/v2/"):
        # source: Cloud Run's IAM page; Artifact Registry and Service Usage have no permission of their own for it
        world.iam.require(request.caller, "run.operations.get", name)
    if request.method == "DELETE":
        from google.protobuf import empty_pb2

        world.operations.delete(name)
        return empty_pb2.Empty()
    if one["verb"] == ":cancel":
        raise failed("UNIMPLEMENTED", "Operation is not cancellable.")  # guess
    if one["verb"] == ":wait":
        return world.operations.wait(name, 30.0)
    return world.operations.get(name)


def _json(request: Request, message: Message) -> Response:
    asked = request.first("$alt") or request.first("alt")
    return json_response(json_format.MessageToDict(message, use_integers_for_enums="enum-encoding=int" in asked))
