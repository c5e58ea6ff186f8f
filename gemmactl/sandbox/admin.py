"""The sandbox's own routes under `/-/`: status, faults, maintenance, settings, IAM and so on. Only for the admin's token."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gemmactl.sandbox.endpoint import ADMIN
from gemmactl.sandbox.faults import fault_of
from gemmactl.sandbox.maintenance import maintenance_of
from gemmactl.sandbox.stream_faults import stream_fault_of
from gemmactl.sandbox.surroundings_api import put
from gemmactl.sandbox.tokens import member_of
from gemmactl.sandbox.wire import ApiError, Request, Response, error_response, failed, json_response
from gemmactl.sandbox.world import World


@dataclass(frozen=True)
class Admin:
    """Answers `/-/...`; `stop` is called after the answer to `/-/stop` is on its way."""

    build: str
    stop: Callable[[], None]

    def __call__(self, world: World, request: Request) -> Response:
        try:
            if request.caller != member_of(ADMIN):
                raise failed("PERMISSION_DENIED", "This route is for the sandbox's own commands.")
            return json_response(self._answer(world, request))
        except ApiError as error:
            return error_response(error)

    def _answer(self, world: World, request: Request) -> dict[str, Any]:
        body = json.loads(request.body or b"{}")
        match request.method, request.path:
            case "GET", "/-/status":
                return self._status(world)
            case "POST", "/-/faults":
                world.faults.add(fault_of(body))
            case "POST", "/-/stream-faults":
                world.storage.faults.add(stream_fault_of(body))
            case "POST", "/-/maintenance":
                world.executions.attempts.calendar.add(maintenance_of(body))
            case "POST", "/-/maintenance/now":
                world.executions.attempts.kill(str(body.get("job", "")))
            case "DELETE", "/-/faults":
                world.faults.clear()
                world.executions.attempts.calendar.clear()
                world.storage.faults.clear()
            case "POST", "/-/settings":
                _set(world, body)
            case "POST", "/-/iam":
                _iam(world, body)
            case "POST", "/-/surroundings":
                put(world, body)
            case "POST", "/-/stop":
                self.stop()
            case _:
                raise failed("NOT_FOUND", f"The sandbox has no route for {request.method} {request.path}")
        return {}

    def _status(self, world: World) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "build": self.build,
            "base_url": world.base_url,
            "home": str(world.home),
            "project": world.project,
            "number": world.number,
            "counts": {name: len(world.store.items(name)) for name in world.store.collections()},
        }


def _set(world: World, body: dict[str, Any]) -> None:
    try:
        world.settings = replace(world.settings, **body)
    except TypeError as wrong:
        raise failed("INVALID_ARGUMENT", f"not a setting: {wrong}") from None


def _iam(world: World, body: dict[str, Any]) -> None:
    if body.get("verb") not in ("grant", "revoke"):
        raise failed("INVALID_ARGUMENT", "verb must be grant or revoke")
    act = world.iam.grant if body["verb"] == "grant" else world.iam.revoke
    act(str(body["member"]), str(body["role"]), str(body["resource"]))
