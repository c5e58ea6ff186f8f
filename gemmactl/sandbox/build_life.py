"""The life of one build: fetch, steps, push, and how it ends. Knows no request."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.cloud.devtools import cloudbuild_v1 as api
from google.protobuf import json_format

from gemmactl.sandbox.assembling import BuildFailed
from gemmactl.sandbox.blobs import copy_digesting, stamp
from gemmactl.sandbox.build_admission import account_of
from gemmactl.sandbox.build_identity import BuildLog, Registry
from gemmactl.sandbox.build_steps import Docker, StepFailed, unpack
from gemmactl.sandbox.store import private_folder
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
BUILDS: Final = "builds"


class BuildLife:
    """Runs builds of one world. `cancelled` holds the names of those that shall end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.cancelled: set[str] = set()

    def run(self, name: str, operation: str) -> Any:
        world = self._world
        build = world.store.get(BUILDS, name) or {}
        log = BuildLog(world, build, account_of(world, build))

        def update(**changes: Any) -> None:
            build.update(changes)
            world.store.put(BUILDS, name, build)
            world.operations.note(operation, build_metadata(build))

        update(status="WORKING", startTime=stamp(world.clock.now()), warnings=log.warnings)
        scratch = Path(tempfile.mkdtemp(prefix="build-", dir=private_folder(world.home / "builds")))
        outcome: Json
        try:
            outcome = self._work(name, build, scratch, log)
        except Exception:
            logging.getLogger(__name__).exception("build %s", build["id"])
            outcome = {"status": "INTERNAL_ERROR", "statusDetail": "the sandbox failed while building; see its daemon log"}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        log("DONE" if outcome["status"] == "SUCCESS" else "ERROR")
        if outcome["status"] not in ("SUCCESS", "CANCELLED"):
            log(f"ERROR: {outcome.get('statusDetail', '')}")
        update(finishTime=stamp(world.clock.now()), **outcome)
        if outcome["status"] == "SUCCESS":
            return build_message(build)
        if outcome["status"] == "CANCELLED":
            raise failed("CANCELLED", "Build cancelled.")
        # guess: the operation of a failed build
        raise failed("UNKNOWN", f"Build failed; check build logs for details: {outcome.get('statusDetail', '')}")

    def _work(self, name: str, build: Json, scratch: Path, log: BuildLog) -> Json:
        account = f"serviceAccount:{account_of(self._world, build)}"
        docker = Docker(scratch / "workspace", scratch, Registry(self._world, account))
        docker.workspace.mkdir()
        log(f'starting build "{build["id"]}"')
        log("FETCHSOURCE")
        try:
            self._fetch(build, scratch)
        except (BuildFailed, OSError) as error:
            return _failure("FETCH_SOURCE_FAILED", str(error))
        log("BUILD")
        many = len(build["steps"]) > 1
        for number, step in enumerate(build["steps"]):
            if name in self.cancelled:
                return {"status": "CANCELLED"}
            mark = f"Step #{number}" + (f' - "{step["id"]}"' if step.get("id") else "")
            if many:
                log(f"Starting {mark}")
            try:
                docker.step(step, log.of(mark) if many else log)
            except StepFailed:
                return _failure(
                    "USER_BUILD_STEP", f'build step {number} "{step["name"]}" failed: step exited with non-zero status: 1'
                )
            if many:
                log(f"Finished {mark}")
        if name in self.cancelled:
            return {"status": "CANCELLED"}
        if build.get("images"):
            log("PUSH")
        return self._push(build, docker, log)

    def _push(self, build: Json, docker: Docker, log: BuildLog) -> Json:
        pushed = []
        for tag in build.get("images", []):
            if tag not in docker.images:
                detail = f'error pushing image "{tag}": An image does not exist locally with the tag: {tag.rpartition(":")[0]}'
                return _failure("PUSH_IMAGE_NOT_FOUND", detail)
            log(f"Pushing {tag}")
            try:
                digest = docker.registry.push(tag, docker.images[tag], log)
            except StepFailed:
                log("ERROR: failed to push because we ran out of retries.")
                # source: corpus iam-005
                detail = f'error pushing image "{tag}": retry budget exhausted (10 attempts): step exited with non-zero status: 1'
                return _failure("PUSH_NOT_AUTHORIZED", detail)
            pushed.append({"name": tag, "digest": digest})
        return {"status": "SUCCESS", "results": {"images": pushed}}

    def _fetch(self, build: Json, scratch: Path) -> None:
        place = build.get("source", {}).get("storageSource")
        if not place:
            return
        blobs = self._world.storage.blobs
        meta = blobs.meta(place["bucket"], place["object"])
        if meta is None or meta["generation"] != place["generation"]:
            raise BuildFailed(f"error fetching storage source: No such object: {place['bucket']}/{place['object']}")
        with blobs.open(place["bucket"], meta) as source, (scratch / "source").open("wb") as target:
            copy_digesting(source, target)
        unpack(scratch / "source", scratch / "workspace")


def _failure(kind: str, detail: str) -> Json:
    return {"status": "FAILURE", "statusDetail": detail, "failureInfo": {"type": kind, "detail": detail}}


def build_message(build: Json) -> Any:
    return json_format.ParseDict(build, api.Build.pb(api.Build()))


def build_metadata(build: Json) -> Any:
    return api.BuildOperationMetadata.pb(api.BuildOperationMetadata(build=api.Build.wrap(build_message(build))))
