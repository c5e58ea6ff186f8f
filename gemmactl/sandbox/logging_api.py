"""Cloud Logging's entries:list and entries:write, as plain JSON. Knows no filter language: log_filter does."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox.gate import require_enabled
from gemmactl.sandbox.wire import Request, Response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

PATH: Final = re.compile(r"/v2/entries:\w+")
_LIST_KEYS: Final = frozenset(("resourceNames", "projectIds", "filter", "orderBy", "pageSize", "pageToken"))


def handle(world: World, request: Request) -> Response:
    require_enabled(world, "logging.googleapis.com")
    body = json.loads(request.body or b"{}")
    if request.method == "POST" and request.path == "/v2/entries:list":
        return json_response(_list(world, request.caller, body))
    if request.method == "POST" and request.path == "/v2/entries:write":
        return json_response(_write(world, request.caller, body))
    raise failed("UNIMPLEMENTED", f"The sandbox does not have {request.method} {request.path}")


def _list(world: World, caller: str, body: dict[str, Any]) -> dict[str, Any]:
    for key in body.keys() - _LIST_KEYS:
        raise failed("INVALID_ARGUMENT", f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.')
    project = f"projects/{world.project}"
    names = [world.name(name) for name in body.get("resourceNames", [])]
    if names != [project]:
        raise failed("INVALID_ARGUMENT", f"resource_names must be [{project}] in the sandbox")
    world.iam.require(caller, "logging.logEntries.list", project)
    order = body.get("orderBy", "timestamp asc") or "timestamp asc"
    if order not in ("timestamp", "timestamp asc", "timestamp desc"):
        raise failed("INVALID_ARGUMENT", f"Invalid order_by: {order}")
    found = world.logs.entries(str(body.get("filter", "")), newest_first=order.endswith("desc"))
    start = int(body.get("pageToken") or 0)
    size = min(int(body.get("pageSize") or 50), 1000)
    page: dict[str, Any] = {"entries": found[start : start + size]} if found[start : start + size] else {}
    if start + size < len(found):
        page["nextPageToken"] = str(start + size)
    return page


def _write(world: World, caller: str, body: dict[str, Any]) -> dict[str, Any]:
    world.iam.require(caller, "logging.logEntries.create", f"projects/{world.project}")
    for entry in body.get("entries", []):
        resource = {**body.get("resource", {}), **entry.get("resource", {})}
        payload = entry.get("jsonPayload") or str(entry.get("textPayload", ""))
        world.logs.write(
            entry.get("logName") or body.get("logName", ""),
            resource.get("type", "global"),
            resource.get("labels", {}),
            payload,
            entry.get("severity", "DEFAULT"),
            entry_labels={**body.get("labels", {}), **entry.get("labels", {})},
        )
    return {}
