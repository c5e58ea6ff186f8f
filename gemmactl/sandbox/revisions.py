"""Cloud Run's Revisions: get, list, delete. Knows no rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.cloud import run_v2 as api
from google.protobuf import json_format

from gemmactl.sandbox.containers import Containers
from gemmactl.sandbox.rollout import REVISIONS, SERVICES
from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from gemmactl.sandbox.world import World

Json = dict[str, Any]


class Revisions:
    """One for each world."""

    def __init__(self, world: World, containers: Containers) -> None:
        self._world = world
        self._containers = containers

    def install(self) -> None:
        """Register the behaviours."""
        for method, behaviour in (
            ("GetRevision", self._revision),
            ("ListRevisions", self._revisions),
            ("DeleteRevision", self._delete_revision),
        ):
            self._world.behaviours[f"run_v2.Revisions.{method}"] = behaviour

    def _revision(self, world: World, caller: str, request: Any) -> Any:
        name = world.name(request.name)
        world.iam.require(caller, "run.revisions.get", name)
        document = world.store.get(REVISIONS, name)
        if document is None:
            raise missing(name, "REVISION")
        return _revision_proto(document)

    def _revisions(self, world: World, caller: str, request: Any) -> Any:
        parent = world.name(request.parent)
        world.iam.require(caller, "run.revisions.list", parent)
        found = [
            d
            for name, d in world.store.items(REVISIONS)
            if name.startswith(f"{parent}/revisions/") or parent.endswith("/services/-")
        ]
        found.sort(key=lambda d: str(d["createTime"]), reverse=True)
        answer = api.ListRevisionsResponse.pb(api.ListRevisionsResponse())
        answer.revisions.extend(_revision_proto(d) for d in found)
        return answer

    def _delete_revision(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        name = world.name(request.name)
        world.iam.require(caller, "run.revisions.delete", name)
        document = world.store.get(REVISIONS, name)
        if document is None:
            raise missing(name, "REVISION")
        service = world.store.get(SERVICES, name.partition("/revisions/")[0]) or {}
        serving = {s.get("revision") for s in service.get("trafficStatuses", [])}
        if name.rpartition("/")[2] in serving or service.get("latestCreatedRevision") == name:
            # guess
            raise failed(
                "FAILED_PRECONDITION", f"Revision '{name.rpartition('/')[2]}' can't be deleted: it serves or is the newest one."
            )
        self._containers.stop(name)
        world.store.delete(REVISIONS, name)
        world.store.delete("revision_images", name)
        return world.operations.done(name.partition("/services/")[0], _revision_proto(document), _revision_proto(document))


def missing(name: str, kind: str = "SERVICE") -> ApiError:
    """404 in Cloud Run's words."""
    # guess
    region = name.split("/")[3] if name.count("/") > 3 else ""
    return failed(
        "NOT_FOUND", f"Resource '{name.rpartition('/')[2]}' of kind '{kind}' in region '{region}' in project does not exist."
    )


def _revision_proto(revision: Json) -> Any:
    return json_format.ParseDict(revision, api.Revision.pb(api.Revision()))
