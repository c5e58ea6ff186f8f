"""Service accounts of iam.googleapis.com, as plain JSON: the client has no REST transport. Knows no other API."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from gemmactl.sandbox.denial import denied
from gemmactl.sandbox.gate import require_enabled
from gemmactl.sandbox.iam_methods import over_http
from gemmactl.sandbox.projects_api import require_project
from gemmactl.sandbox.wire import Request, Response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

COLLECTION: Final = "service_accounts"
PATH: Final = re.compile(r"/v1/projects/[^/]+/serviceAccounts")

_PARTS: Final = re.compile(r"/v1/(?P<project>projects/[^/]+)/serviceAccounts(?:/(?P<account>[^/:]+))?(?::(?P<verb>\w+))?")
_ID: Final = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
"""6 to 30 characters. Source: the reference of serviceAccounts.create."""

_PERMISSIONS: Final = {"GET": "get", "DELETE": "delete", "PATCH": "update"}
_KNOWN_KEYS: Final = frozenset(("accountId", "serviceAccount"))
_KNOWN_FIELDS: Final = frozenset(("displayName", "description", "name", "projectId", "uniqueId", "email", "etag", "disabled"))


def handle(world: World, request: Request) -> Response:
    """create, get, list, delete, patch of the texts, enable, disable, and the IAM methods."""
    found = _PARTS.fullmatch(request.path)
    if not found:
        raise failed("NOT_FOUND", f"The sandbox has no route for {request.method} {request.path}")
    require_enabled(world, "iam.googleapis.com")
    project = world.name(unquote(found["project"]))
    require_project(world, project)
    if found["account"] is None:
        return _create(world, request) if request.method == "POST" else _list(world, request)
    account = _account(world, unquote(found["account"]))
    name = f"projects/{world.project}/serviceAccounts/{account['email'] if account else unquote(found['account'])}"
    verb = found["verb"] or ""
    if account is None and found["project"] == "projects/-":
        # source: the reference of serviceAccounts.get: through the wildcard what is missing is a 403, not a 404
        raise denied(request.caller, f"iam.serviceAccounts.{verb or _PERMISSIONS.get(request.method, 'get')}", name)
    if verb in ("getIamPolicy", "setIamPolicy", "testIamPermissions"):
        if account is None:
            raise _unknown(name)
        return over_http(world, request, name, verb, "iam.serviceAccounts")
    return _on_account(world, request, account, name, verb)


def add_google_account(world: World, email: str, title: str) -> None:
    """An account that Google makes by itself, once."""
    if world.store.get(COLLECTION, email) is None:
        _put(world, email, {"displayName": title})


def _on_account(world: World, request: Request, account: dict[str, Any] | None, name: str, verb: str) -> Response:
    permission = verb or _PERMISSIONS.get(request.method, "get")
    world.iam.require(request.caller, f"iam.serviceAccounts.{permission}", name)
    if account is None:
        raise _unknown(name)
    email = account["email"]
    if request.method == "DELETE":
        world.store.delete(COLLECTION, email)
        world.iam.forget(name)
        world.iam.retire(email, account["uniqueId"])
        return json_response({})
    if verb in ("enable", "disable"):
        world.store.put(COLLECTION, email, {**account, "disabled": verb == "disable"})
        return json_response({})
    if request.method == "PATCH":
        wanted = json.loads(request.body or b"{}")
        fields = [f for f in wanted.get("updateMask", "").split(",") if f in ("displayName", "description")]
        account = {**account, **{f: wanted.get("serviceAccount", {}).get(f, "") for f in fields}}
        world.store.put(COLLECTION, email, account)
    return json_response(account)


def _create(world: World, request: Request) -> Response:
    body = json.loads(request.body or b"{}")
    _refuse_unknown(body)
    project = f"projects/{world.project}"
    world.iam.require(request.caller, "iam.serviceAccounts.create", project)
    identifier = str(body.get("accountId", ""))
    if not _ID.fullmatch(identifier):
        raise failed(
            "INVALID_ARGUMENT",
            # source: Google's text in public reports
            'The account ID "' + identifier + '" does not have a length between 6 and 30.'
            if not 6 <= len(identifier) <= 30
            else f'The account ID "{identifier}" is invalid.',  # guess
        )
    email = f"{identifier}@{world.project}.iam.gserviceaccount.com"
    with world.store.lock:
        if world.store.get(COLLECTION, email) is not None:
            raise failed(
                "ALREADY_EXISTS",
                # source: Google's text in public reports
                f"Service account {identifier} already exists within project {project}.",
                {
                    "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                    "resourceName": f"{project}/serviceAccounts/{email}",
                },
            )
        texts = {k: v for k, v in body.get("serviceAccount", {}).items() if k in ("displayName", "description")}
        return json_response(_put(world, email, texts))


def _list(world: World, request: Request) -> Response:
    world.iam.require(request.caller, "iam.serviceAccounts.list", f"projects/{world.project}")
    return json_response({"accounts": [document for _, document in world.store.items(COLLECTION)]})


def _put(world: World, email: str, texts: dict[str, str]) -> dict[str, Any]:
    number = world.store.count("account")
    document = {
        "name": f"projects/{world.project}/serviceAccounts/{email}",
        "projectId": world.project,
        "uniqueId": str(100000000000000000000 + number),
        "email": email,
        **texts,
        "etag": base64.b64encode(number.to_bytes(6, "big")).decode(),
        "oauth2ClientId": str(100000000000000000000 + number),
    }
    world.store.put(COLLECTION, email, document)
    return document


def _account(world: World, text: str) -> dict[str, Any] | None:
    """By e-mail or by unique id, as the API takes both."""
    for email, document in world.store.items(COLLECTION):
        if text in (email, document["uniqueId"]):
            return document
    return None


def _unknown(name: str) -> Exception:
    # guess
    return failed("NOT_FOUND", f"Unknown service account: {name}")


def _refuse_unknown(body: dict[str, Any]) -> None:
    for key in body.keys() - _KNOWN_KEYS:
        raise failed("INVALID_ARGUMENT", f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.')
    for key in body.get("serviceAccount", {}).keys() - _KNOWN_FIELDS:
        raise failed(
            "INVALID_ARGUMENT", f"Invalid JSON payload received. Unknown name \"{key}\" at 'service_account': Cannot find field."
        )
