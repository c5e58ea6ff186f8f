"""Cloud Build: create, get, list, cancel, and the life of one build. Knows no Dockerfile."""

from __future__ import annotations

import base64
import logging
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.cloud.devtools import cloudbuild_v1 as api
from google.protobuf import json_format

from gemmactl.sandbox import images
from gemmactl.sandbox.assembling import BuildFailed, Image
from gemmactl.sandbox.blobs import copy_digesting, stamp
from gemmactl.sandbox.build_steps import Docker, Say, StepFailed, unpack
from gemmactl.sandbox.storage import bucket_resource
from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from google.longrunning import operations_pb2

    from gemmactl.sandbox.world import World

Json = dict[str, Any]
COLLECTION: Final = "builds"
_UNFINISHED: Final = ("PENDING", "QUEUED", "WORKING")
_FILTER: Final = re.compile(r'\s*(tags|status|build_id|id)\s*=\s*"?([\w.:/-]+)"?\s*')


class Builder:
    """One for each world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        for name, build in world.store.items(COLLECTION):
            if build["status"] in _UNFINISHED:  # the daemon was stopped in the middle of it
                build |= {"status": "INTERNAL_ERROR", "statusDetail": "the sandbox was stopped while this build was running"}
                world.store.put(COLLECTION, name, build)

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
        location = (request.parent or f"{project}/locations/global").split("/")[3]
        if not world.iam.holds(caller, "cloudbuild.builds.create", project):
            raise failed("PERMISSION_DENIED", "The caller does not have permission")  # source: seed 1, Errors
        build = json_format.MessageToDict(request.build)
        self._check(caller, build)
        build_id = str(uuid.uuid4())
        now = stamp(world.clock.now())
        name = f"{project}/locations/{location}/builds/{build_id}"
        build |= {
            "id": build_id,
            "projectId": world.project,
            "name": name.replace(project, f"projects/{world.number}"),  # source: golden 02
            "status": "QUEUED",
            "createTime": now,
            "serviceAccount": f"{project}/serviceAccounts/{self._account(build)}",
            "logUrl": f"{world.base_url}/sandbox/logs?build={build_id}",
        }
        build.setdefault("timeout", "3600s")
        self._substitute(build, location)
        world.store.put(COLLECTION, name, build)
        operation = f"operations/build/{world.project}/{base64.b64encode(build_id.encode()).decode()}"
        return world.operations.start("", _metadata(build), lambda: self._run(name, operation), name=operation)

    def _get(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.get", f"projects/{world.project}")
        return _proto(self._find(request)[1])

    def _list(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.list", f"projects/{world.project}")
        wanted = _filter(request.filter)
        location = request.parent.split("/")[3] if request.parent else ""
        found = []
        for name, build in world.store.items(COLLECTION):
            if location not in ("", "-") and name.split("/")[3] != location:
                continue
            if all(value in build.get("tags", []) if key == "tags" else build.get(key) == value for key, value in wanted):
                found.append(build)
        found.sort(key=lambda b: str(b["createTime"]), reverse=True)
        answer = api.ListBuildsResponse.pb(api.ListBuildsResponse())
        answer.builds.extend(_proto(b) for b in found[: request.page_size or 100])
        return answer

    def _cancel(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.update", f"projects/{world.project}")
        name, build = self._find(request)
        if build["status"] not in _UNFINISHED:
            raise failed("FAILED_PRECONDITION", f"cannot cancel completed build {build['id']}")  # guess
        self._cancelled.add(name)
        return _proto(build)

    def _default_account(self, world: World, caller: str, request: Any) -> Any:
        world.iam.require(caller, "cloudbuild.builds.get", f"projects/{world.project}")
        email = f"projects/{world.project}/serviceAccounts/{world.compute_account}"
        return api.DefaultServiceAccount.pb(api.DefaultServiceAccount(name=request.name, service_account_email=email))

    def _find(self, request: Any) -> tuple[str, Json]:
        asked = request.name or f"projects/{request.project_id}/locations/global/builds/{request.id}"
        name = self._world.name(asked)
        build = self._world.store.get(COLLECTION, name)
        if build is None:
            raise failed("NOT_FOUND", "Requested entity was not found.")
        return name, build

    # --- what a build must satisfy before it exists
    def _account(self, build: Mapping[str, Any]) -> str:
        return str(build.get("serviceAccount", "")).rpartition("/")[2] or self._world.compute_account

    def _check(self, caller: str, build: Json) -> None:
        world, email = self._world, self._account(build)
        resource = f"projects/{world.project}/serviceAccounts/{email}"
        if build.get("serviceAccount"):
            if not world.iam.holds(caller, "iam.serviceAccounts.actAs", resource):
                # source: corpus iam-012
                raise failed("PERMISSION_DENIED", f"caller does not have permission to act as service account {resource}")
            if email != world.compute_account and world.account(email) is None:
                raise failed("NOT_FOUND", f"service account {resource} not found")  # guess
            options = build.get("options", {})
            if (
                options.get("logging") not in ("CLOUD_LOGGING_ONLY", "NONE")
                and not build.get("logsBucket")
                and options.get("defaultLogsBucketBehavior") != "REGIONAL_USER_OWNED_BUCKET"
            ):
                # source: facts cloud-run 2.3, build SA logging
                raise failed("INVALID_ARGUMENT", "if 'build.service_account' is specified, the build must either (a) specify "
                    "'build.logs_bucket', (b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, "
                    "or (c) use either CLOUD_LOGGING_ONLY / NONE logging options")  # fmt: skip
        if not build.get("steps"):
            raise failed("INVALID_ARGUMENT", "invalid build: no build steps are specified")  # guess
        for image in build.get("images", []):
            if "$" not in image and images.parse(image) is None:
                raise failed("INVALID_ARGUMENT", f"invalid image name {image!r}: the sandbox pushes to Artifact Registry only")
        self._check_source(build, email)

    def _check_source(self, build: Json, email: str) -> None:
        source = build.get("source", {})
        if not source:
            return
        if set(source) != {"storageSource"}:
            raise failed("INVALID_ARGUMENT", "the sandbox's Cloud Build takes its source from Cloud Storage only (source.storageSource)")
        place = source["storageSource"]
        if not self._world.iam.holds(f"serviceAccount:{email}", "storage.objects.get", bucket_resource(place["bucket"])):
            # source: seed 1, Errors
            raise failed("INVALID_ARGUMENT", f"could not resolve source: googleapi: Error 403: {email} does not have storage.objects.get "
                "access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist)., "
                "forbidden")  # fmt: skip
        meta = self._world.storage.blobs.meta(place["bucket"], place.get("object", ""))
        if meta is None or place.get("generation", meta["generation"]) not in ("0", meta["generation"]):
            lost = f"No such object: {place['bucket']}/{place.get('object', '')}"
            raise failed("INVALID_ARGUMENT", f"could not resolve source: googleapi: Error 404: {lost}, notFound")  # guess
        place["generation"] = meta["generation"]

    def _substitute(self, build: Json, location: str) -> None:
        values = {"PROJECT_ID": self._world.project, "PROJECT_NUMBER": self._world.number, "BUILD_ID": build["id"],
                  "LOCATION": location, **build.get("substitutions", {})}  # fmt: skip

        def one(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if found[0] == "$$":
                return "$"
            if name not in values and not name.startswith("_"):
                # guess
                raise failed("INVALID_ARGUMENT", f"invalid value for 'build.substitutions': key in the template {name!r} "
                             "is not a valid built-in substitution")  # fmt: skip
            return str(values.get(name, ""))

        def walk(value: Any) -> Any:
            if isinstance(value, str):
                return re.sub(r"\$\$|\$\{([A-Z_][A-Z0-9_]*)\}|\$([A-Z_][A-Z0-9_]*)", one, value)
            if isinstance(value, list):
                return [walk(v) for v in value]
            return {k: walk(v) for k, v in value.items()} if isinstance(value, dict) else value

        for key in ("steps", "images", "tags"):
            if key in build:
                build[key] = walk(build[key])

    # --- the life of a build
    def _run(self, name: str, operation: str) -> Any:
        world = self._world
        build = world.store.get(COLLECTION, name) or {}
        log = _Log(world, build, self._account(build))

        def update(**changes: Any) -> None:
            build.update(changes)
            world.store.put(COLLECTION, name, build)
            world.operations.note(operation, _metadata(build))

        update(status="WORKING", startTime=stamp(world.clock.now()), warnings=log.warnings)
        scratch = Path(tempfile.mkdtemp(prefix="build-", dir=_folder(world.home / "builds")))
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
            return _proto(build)
        if outcome["status"] == "CANCELLED":
            raise failed("CANCELLED", "Build cancelled.")
        # guess: the operation of a failed build
        raise failed("UNKNOWN", f"Build failed; check build logs for details: {outcome.get('statusDetail', '')}")

    def _work(self, name: str, build: Json, scratch: Path, log: _Log) -> Json:
        account = f"serviceAccount:{self._account(build)}"
        docker = Docker(scratch / "workspace", scratch, _Registry(self._world, account))
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
            if name in self._cancelled:
                return {"status": "CANCELLED"}
            mark = f"Step #{number}" + (f' - "{step["id"]}"' if step.get("id") else "")
            if many:
                log(f"Starting {mark}")
            try:
                docker.step(step, (lambda text, mark=mark: log(f"{mark}: {text}")) if many else log)
            except StepFailed:
                return _failure("USER_BUILD_STEP", f'build step {number} "{step["name"]}" failed: step exited with non-zero status: 1')
            if many:
                log(f"Finished {mark}")
        if name in self._cancelled:
            return {"status": "CANCELLED"}
        if build.get("images"):
            log("PUSH")
        return self._push(build, docker, log)

    def _push(self, build: Json, docker: Docker, log: _Log) -> Json:
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


class _Log:
    """The build's lines in Cloud Logging, written as the build's service account, or nowhere."""

    def __init__(self, world: World, build: Json, email: str) -> None:
        self._world = world
        self._labels = {"build_id": build["id"], "build_trigger_id": ""}
        self.warnings: list[Json] = []
        resource = f"projects/{world.project}"
        self._on = build.get("options", {}).get("logging") != "NONE"
        if self._on and not world.iam.holds(f"serviceAccount:{email}", "logging.logEntries.create", resource):
            self._on = False
            # source: seed 1, Errors
            text = (
                f"The service account running this build {resource}/serviceAccounts/{email} does not have permission to write logs to "
                "Cloud Logging. To fix this, grant the Logs Writer (roles/logging.logWriter) role to the service account."
            )
            self.warnings.append({"text": text, "priority": "INFO"})

    def __call__(self, text: str) -> None:
        if self._on:
            self._world.logs.write("cloudbuild", "build", self._labels, text, "INFO")


class _Registry:
    """Artifact Registry as the build's service account meets it."""

    def __init__(self, world: World, account: str) -> None:
        self._world = world
        self._account = account

    def push(self, tag: str, image: Image, say: Say) -> str:
        where = images.parse(tag)
        if where is None:
            say(f"denied: the sandbox pushes to Artifact Registry only, not to {tag}")
            raise StepFailed
        say(f"The push refers to repository [{where.stem}]")
        permission = "artifactregistry.repositories.uploadArtifacts"
        if not self._world.iam.holds(self._account, permission, where.parent):
            # source: seed 1, Errors
            say(f'denied: Permission "{permission}" denied on resource "{where.parent}" (or it may not exist)')
            raise StepFailed
        digest = image.digest()
        shelf = self._keep(image, digest)
        size = sum(p.stat().st_size for p in shelf.rglob("*") if p.is_file())
        try:
            images.push(self._world, tag, digest, str(shelf), dict(image.config), size)
        except ApiError as error:
            say(error.message)
            raise StepFailed from error
        say(f"{where.tag or 'latest'}: digest: {digest}")
        return digest

    def _keep(self, image: Image, digest: str) -> Path:
        """The pushed image's own folder, which no later build touches."""
        shelf = _folder(self._world.home / "images") / digest.removeprefix("sha256:")
        if not shelf.exists():
            scratch = shelf.with_suffix(f".{uuid.uuid4().hex}")
            shutil.copytree(image.root, scratch, symlinks=True)
            scratch.replace(shelf)
        return shelf

    def pull(self, tag: str, say: Say) -> Image | None:
        where = images.parse(tag)
        if where is None:
            say(f"SANDBOX: {tag} is not pulled")
            return None
        permission = "artifactregistry.repositories.downloadArtifacts"
        if not self._world.iam.holds(self._account, permission, where.parent):
            say(f'Error response from daemon: denied: Permission "{permission}" denied on resource "{where.parent}" '
                "(or it may not exist)")  # fmt: skip
            raise StepFailed
        found = images.resolve(self._world, tag)
        if found is None:
            say(f"Error response from daemon: manifest for {tag} not found: manifest unknown: Failed to fetch {where.tag or 'latest'!r}")
            raise StepFailed
        return Image(Path(found["root"]), found["config"])


def _failure(kind: str, detail: str) -> Json:
    return {"status": "FAILURE", "statusDetail": detail, "failureInfo": {"type": kind, "detail": detail}}


def _proto(build: Json) -> Any:
    return json_format.ParseDict(build, api.Build.pb(api.Build()))


def _metadata(build: Json) -> Any:
    return api.BuildOperationMetadata.pb(api.BuildOperationMetadata(build=api.Build.wrap(_proto(build))))


def _filter(text: str) -> list[tuple[str, str]]:
    out = []
    for part in re.split(r"\s+AND\s+", text) if text.strip() else []:
        found = _FILTER.fullmatch(part)
        if not found:
            raise failed("INVALID_ARGUMENT", f"the sandbox does not understand this part of the filter: {part}")
        out.append(("id" if found[1] == "build_id" else found[1], found[2]))
    return out


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


