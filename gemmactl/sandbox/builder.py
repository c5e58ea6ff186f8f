"""Cloud Build's methods: create, get, list, cancel, the default account. Knows no step and no Dockerfile."""

from __future__ import annotations

import base64
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from google.cloud.devtools import cloudbuild_v1 as api
from google.protobuf import json_format

from gemmactl.sandbox.blobs import stamp
from gemmactl.sandbox.build_admission import account_of, admit, substitute
from gemmactl.sandbox.build_life import BUILDS, BuildLife, build_message, build_metadata
from gemmactl.sandbox.regions import require_region
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from gemmactl.sandbox.world import World

Json = dict[str, Any]
_UNFINISHED: Final = ("PENDING", "QUEUED", "WORKING")
_FILTER: Final = re.compile(r'\s*(tags|status|build_id|id)\s*=\s*"?([\w.:/-]+)"?\s*')


class Builder:
    """One for each world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._life = BuildLife(world)
        for name, build in world.store.items(BUILDS):
            if build["status"] in _UNFINISHED:  # the daemon was stopped in the middle of it
                build |= {"status": "INTERNAL_ERROR", "statusDetail": "the sandbox was stopped while this build was running"}
                world.store.put(BUILDS, name, build)

    def install(self) -> None:
        """Register the behaviours."""
        for method, behaviour in {
            "CreateBuild": self._create,
            "GetBuild": self._get,
            "ListBuilds": self._list,
            "CancelBuild": self._cancel,
            "GetDefaultServiceAccount": self._default_account,
        }.items():
            self._world.behaviours[f"cloudbuild_v1.CloudBuild.{method}"] = behaviour

    # --- behaviours
    def _create(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        project = f"projects/{world.project}"
        parent = request.parent or f"{project}/locations/global"
        require_region(parent, also=("global",))
        location = parent.split("/")[3]
        if not world.iam.holds(caller, "cloudbuild.builds.create", project):
            raise failed("PERMISSION_DENIED", "The caller does not have permission")  # source: the seed README's errors
        build = json_format.MessageToDict(request.build)
        admit(world, caller, build)
        build_id = str(uuid.uuid4())
        now = stamp(world.clock.now())
        name = f"{project}/locations/{location}/builds/{build_id}"
        build |= {
            "id": build_id,
            "projectId": world.project,
            "name": name.replace(project, f"projects/{world.number}"),  # source: golden 02
            "status": "QUEUED",
            "createTime": now,
            "serviceAccount": f"{project}/serviceAccounts/{account_of(world, build)}",
            "logUrl": f"{world.base_url}/sandbox/logs?build={build_id}",
        }
        build.setdefault("timeout", "3600s")
        substitute(world, build, location)
        world.store.put(BUILDS, name, build)
        operation = f"operations/build/{world.project}/{base64.b64encode(build_id.encode()).decode()}"
        return world.operations.start("", build_metadata(build), lambda: self._life.run(name, operation), name=operation)

    def _get(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.get", f"projects/{world.project}")
        return build_message(self._find(request)[1])

    def _list(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.list", f"projects/{world.project}")
        wanted = _filter(request.filter)
        location = request.parent.split("/")[3] if request.parent else ""
        found = []
        for name, build in world.store.items(BUILDS):
            if location not in ("", "-") and name.split("/")[3] != location:
                continue
            if all(value in build.get("tags", []) if key == "tags" else build.get(key) == value for key, value in wanted):
                found.append(build)
        found.sort(key=lambda b: str(b["createTime"]), reverse=True)
        answer = api.ListBuildsResponse.pb(api.ListBuildsResponse())
        answer.builds.extend(build_message(b) for b in found[: request.page_size or 100])
        return answer

    def _cancel(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.update", f"projects/{world.project}")
        name, build = self._find(request)
        if build["status"] not in _UNFINISHED:
            raise failed("FAILED_PRECONDITION", f"cannot cancel completed build {build['id']}")  # guess
        self._life.cancelled.add(name)
        return build_message(build)

    def _default_account(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.get", f"projects/{world.project}")
        email = f"projects/{world.project}/serviceAccounts/{world.compute_account}"
        return api.DefaultServiceAccount.pb(api.DefaultServiceAccount(name=request.name, service_account_email=email))

    def _find(self, request: Any) -> tuple[str, Json]:
        asked = request.name or f"projects/{request.project_id}/locations/global/builds/{request.id}"
        name = self._world.name(asked)
        build = self._world.store.get(BUILDS, name)
        if build is None:
            raise failed("NOT_FOUND", "Requested entity was not found.")
        return name, build


def _filter(text: str) -> list[tuple[str, str]]:
    out = []
    for part in re.split(r"\s+AND\s+", text) if text.strip() else []:
        found = _FILTER.fullmatch(part)
        if not found:
            raise failed("INVALID_ARGUMENT", f"the sandbox does not understand this part of the filter: {part}")
        out.append(("id" if found[1] == "build_id" else found[1], found[2]))
    return out
