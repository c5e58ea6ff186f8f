"""Cloud Run's Services: create, update, get, list, delete, IAM. Knows no process and no port number."""

from __future__ import annotations

import copy
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from google.cloud import run_v2 as api
from google.protobuf import json_format

from gemmactl.sandbox.blobs import stamp
from gemmactl.sandbox.containers import Containers
from gemmactl.sandbox.iam_methods import methods
from gemmactl.sandbox.proxy import Fronts
from gemmactl.sandbox.quota import Quota, check_quota
from gemmactl.sandbox.regions import require_region
from gemmactl.sandbox.revisions import Revisions, missing
from gemmactl.sandbox.rollout import REVISIONS, SERVICES, Rollout
from gemmactl.sandbox.run_admission import admit
from gemmactl.sandbox.run_etags import guard, new_etag
from gemmactl.sandbox.service_defaults import with_defaults
from gemmactl.sandbox.service_rules import check
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from gemmactl.sandbox.world import World

Json = dict[str, Any]
_WRITTEN_BY_SERVER: Final = (
    "name",
    "uid",
    "generation",
    "createTime",
    "updateTime",
    "deleteTime",
    "expireTime",
    "creator",
    "lastModifier",
    "observedGeneration",
    "terminalCondition",
    "conditions",
    "latestReadyRevision",
    "latestCreatedRevision",
    "trafficStatuses",
    "uri",
    "urls",
    "reconciling",
    "etag",
    "satisfiesPzs",
)


class Services:
    """One for each world. `quota` may be replaced by a test or a demonstration."""

    def __init__(self, world: World, containers: Containers) -> None:
        self._world = world
        self._containers = containers
        self._fronts = Fronts(world, containers)
        self._rollout = Rollout(world, containers, self._fronts)
        self.quota = Quota()

    def install(self) -> None:
        """Register the behaviours; they need the server's base_url only when they are called."""
        table = {
            "Services.CreateService": self._create,
            "Services.UpdateService": self._update,
            "Services.GetService": self._read,
            "Services.ListServices": self._list,
            "Services.DeleteService": self._delete,
        }
        self._world.behaviours.update({f"run_v2.{name}": behaviour for name, behaviour in table.items()})
        Revisions(self._world, self._containers).install()
        self._world.behaviours.update(methods("run_v2.Services", "run.services", _exists))

    def recover(self) -> None:
        """Open the ports of all services and go on with unfinished rollouts."""
        self._rollout.recover()

    # --- writing
    def _create(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        parent = world.name(request.parent)
        name = f"{parent}/services/{request.service_id}"
        world.iam.require(caller, "run.services.create", name)
        wish = _wish(json_format.MessageToDict(request.service))
        if world.store.get(SERVICES, name):
            raise failed("ALREADY_EXISTS", f"Resource '{request.service_id}' already exists.")
        return self._apply(caller, name, wish, None, dry=request.validate_only)

    def _update(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        given = json_format.MessageToDict(request.service)
        name = world.name(given.get("name", ""))
        old = world.store.get(SERVICES, name)
        world.iam.require(caller, "run.services.update" if old else "run.services.create", name)
        if old is None and not request.allow_missing:
            raise missing(name)
        if old:
            guard(old, given.get("etag", ""))
        paths = list(request.update_mask.paths)
        wish = _wish(given) if old is None or not paths or paths == ["*"] else _masked(_wish(old), given, paths)
        whole = not paths or paths == ["*"] or any(path.partition(".")[0] == "template" for path in paths)
        return self._apply(caller, name, wish, old, dry=request.validate_only, again=whole)

    def _apply(
        self, caller: str, name: str, wish: Json, old: Json | None, *, dry: bool, again: bool = True
    ) -> operations_pb2.Operation:
        world, now = self._world, stamp(self._world.clock.now())
        require_region(name)
        check(wish, name.rpartition("/")[2], dry=dry)
        service = with_defaults(wish, world.compute_account)
        check_quota(service["template"], self.quota)
        self._admit(caller, name, service, old)
        failed_before = old is not None and old["terminalCondition"]["state"] == "CONDITION_FAILED"
        changed = old is None or service["template"] != old["template"] or (again and failed_before)
        number = int(old["generation"]) + 1 if old else 1
        service |= {k: old[k] for k in _WRITTEN_BY_SERVER if old and k in old}
        service |= {
            "name": name,
            "uid": old["uid"] if old else str(uuid.uuid4()),
            "generation": str(number),
            "createTime": old["createTime"] if old else now,
            "updateTime": now,
            "creator": old["creator"] if old else caller.partition(":")[2],
            "lastModifier": caller.partition(":")[2],
            "etag": new_etag(),
        }
        parent = name.partition("/services/")[0]
        if dry:
            return world.operations.done(parent, _proto(service), _proto(service))
        uri = self._fronts.uri(name)
        service |= {
            "uri": uri,
            "urls": [uri],
            "reconciling": True,
            "terminalCondition": {"type": "Ready", "state": "CONDITION_RECONCILING", "lastTransitionTime": now},
        }
        world.store.put(SERVICES, name, service)
        return world.operations.start(parent, _proto(service), lambda: _proto(self._rollout.roll(name, new_revision=changed)))

    def _admit(self, caller: str, name: str, service: Json, old: Json | None) -> None:
        """What the deployer himself must be allowed."""
        admit(self._world, caller, service["template"])
        if bool(service.get("invokerIamDisabled")) != bool(old and old.get("invokerIamDisabled")):
            self._world.iam.require(caller, "run.services.setIamPolicy", name)

    def _delete(self, world: World, caller: str, request: Any) -> operations_pb2.Operation:
        name = world.name(request.name)
        world.iam.require(caller, "run.services.delete", name)
        service = _found(world, name)
        guard(service, request.etag)
        parent = name.partition("/services/")[0]
        gone = {**service, "deleteTime": stamp(world.clock.now())}
        if request.validate_only:
            return world.operations.done(parent, _proto(service), _proto(service))
        # out of sight at once: a service that is being deleted can't be found, only its operation
        world.store.delete(SERVICES, name)

        def work() -> Any:
            self._fronts.drop(name)
            for full, _ in world.store.items(REVISIONS):
                if full.startswith(f"{name}/revisions/"):
                    self._containers.stop(full)
                    world.store.delete(REVISIONS, full)
                    world.store.delete("revision_images", full)
            world.iam.forget(name)
            return _proto(gone)

        return world.operations.start(parent, _proto(gone), work)

    # --- reading
    def _read(self, world: World, caller: str, request: Any) -> Any:
        name = world.name(request.name)
        world.iam.require(caller, "run.services.get", name)
        return _proto(_found(world, name))

    def _list(self, world: World, caller: str, request: Any) -> Any:
        parent = world.name(request.parent)
        world.iam.require(caller, "run.services.list", parent)
        region = parent.split("/")[3]
        answer = api.ListServicesResponse.pb(api.ListServicesResponse())
        answer.services.extend(_proto(s) for name, s in world.store.items(SERVICES) if region in ("-", name.split("/")[3]))
        return answer


def _exists(world: World, name: str) -> None:
    _found(world, name)


def _found(world: World, name: str) -> Json:
    service = world.store.get(SERVICES, name)
    if service is None:
        raise missing(name)
    return service


def _wish(document: Json) -> Json:
    """The fields that a caller may write."""
    return {k: v for k, v in document.items() if k not in _WRITTEN_BY_SERVER}


def _masked(old: Json, given: Json, paths: list[str]) -> Json:
    """`old` with the masked paths taken from `given`; absent there means cleared."""
    out = copy.deepcopy(old)
    for path in paths:
        *way, last = [re.sub(r"_([a-z0-9])", lambda m: m[1].upper(), part) for part in path.split(".")]
        source, target = given, out
        for part in way:
            source = source.get(part, {})
            target = target.setdefault(part, {})
        if last in source:
            target[last] = source[last]
        else:
            target.pop(last, None)
    return dict(out)


def _proto(service: Json) -> Any:
    return json_format.ParseDict(service, api.Service.pb(api.Service()))
