"""getIamPolicy, setIamPolicy and testIamPermissions, the same for every API. Knows no kind of resource."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import json_format

from gemmactl.sandbox.wire import Request, Response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

Exists = Callable[["World", str], None]
"""Nothing, or the API's own 404 for a resource name (project id already in it)."""


def methods(service: str, permissions: str, exists: Exists) -> dict[str, Behaviour]:
    """The three behaviours of one GAPIC service.

    `service` is `run_v2.Services`, `permissions` the stem `run.services`.
    """

    def get(world: World, caller: str, request: Any) -> policy_pb2.Policy:
        name = world.name(request.resource)
        world.iam.require(caller, f"{permissions}.getIamPolicy", name)
        exists(world, name)
        return policy_message(world.iam.policy(name))

    def put(world: World, caller: str, request: Any) -> policy_pb2.Policy:
        name = world.name(request.resource)
        world.iam.require(caller, f"{permissions}.setIamPolicy", name)
        exists(world, name)
        wanted = json_format.MessageToDict(request.policy)
        return policy_message(world.iam.set_policy(name, wanted, wanted.get("etag", "")))

    def test(world: World, caller: str, request: Any) -> iam_policy_pb2.TestIamPermissionsResponse:
        name = world.name(request.resource)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=_held(world, caller, name, list(request.permissions)))

    return {f"{service}.GetIamPolicy": get, f"{service}.SetIamPolicy": put, f"{service}.TestIamPermissions": test}


def over_http(world: World, request: Request, name: str, verb: str, permissions: str) -> Response:
    """The same three for an API that is spoken as plain JSON."""
    body = json.loads(request.body or b"{}")
    if verb == "testIamPermissions":
        return json_response({"permissions": _held(world, request.caller, name, body.get("permissions", []))})
    world.iam.require(request.caller, f"{permissions}.{verb}", name)
    if verb == "getIamPolicy":
        return json_response(_trimmed(world.iam.policy(name)))
    policy = body.get("policy", {})
    return json_response(_trimmed(world.iam.set_policy(name, policy, policy.get("etag", ""))))


def policy_message(policy: dict[str, Any]) -> policy_pb2.Policy:
    """A stored policy as google.iam.v1.Policy."""
    message = policy_pb2.Policy()
    json_format.ParseDict(policy, message)
    return message


def _trimmed(policy: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in policy.items() if value}


def _held(world: World, caller: str, name: str, permissions: list[str]) -> list[str]:
    for permission in permissions:
        if "*" in permission:
            # source: the documentation of testIamPermissions
            raise failed("INVALID_ARGUMENT", f"Permissions with wildcards are not allowed: {permission}")
    return [permission for permission in permissions if world.iam.holds(caller, permission, name)]
