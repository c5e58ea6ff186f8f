"""Cloud Storage's JSON API: routing, permissions and buckets. Knows neither how bytes lie on disk nor how they are uploaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from gemmactl.sandbox.blobs import Blobs, stamp
from gemmactl.sandbox.gate import require_enabled
from gemmactl.sandbox.keys_api import require_key
from gemmactl.sandbox.storage_errors import NO_BUCKET, OWNED, PRECONDITION, PREVENTED, UNIFORM, StorageError, denied
from gemmactl.sandbox.storage_objects import Objects
from gemmactl.sandbox.stream_faults import StreamFaults
from gemmactl.sandbox.uploads import Uploads
from gemmactl.sandbox.wire import ApiError, Request, Response, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
_PUBLIC: Final = {"allUsers", "allAuthenticatedUsers"}
_WRITABLE: Final = {
    "autoclass", "billing", "cors", "defaultEventBasedHold", "encryption", "hierarchicalNamespace", "iamConfiguration",
    "ipFilter", "labels", "lifecycle", "location", "locationType", "logging", "name", "rpo", "softDeletePolicy",
    "storageClass", "versioning", "website",
}  # fmt: skip
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
UPLOADS: Final = ("/upload", "/resumable/upload")
"""The second is where gcloud begins a resumable upload. Source: storage_v1_client of gcloud 528."""
_PATH: Final = re.compile(r"(?P<door>/upload|/resumable/upload|/download)?/storage/v1/b(?:/(?P<bucket>[^/]+)(?:/(?P<rest>.*))?)?")


def bucket_resource(name: str) -> str:
    """The name that IAM knows a bucket by."""
    return f"projects/_/buckets/{name}"


class Storage:
    """One for each world; `handle` takes every request under /storage, /upload/storage and /download/storage."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blobs = Blobs(world.home / "storage", world.clock.now)
        self.faults = StreamFaults()
        self._objects = Objects(self.blobs, self.need, self.faults)
        self._uploads = Uploads(self.blobs, self.need, world.home / "uploads", lambda: world.base_url)

    def handle(self, request: Request) -> Response:
        """Raises no API error but that the API is off: its own errors have a shape of their own."""
        require_enabled(self.world, "storage.googleapis.com")
        media = request.first("alt") == "media"
        try:
            return self._route(request)
        except StorageError as error:
            return error.response(media=media)
        except ApiError as error:
            return StorageError(error.code, error.message).response(media=media)

    # --- permissions
    def need(self, caller: str, permission: str, bucket: str) -> None:
        """Raise in Cloud Storage's words unless the caller holds the permission on the bucket."""
        if not self.world.iam.holds(caller, permission, bucket_resource(bucket)):
            raise denied(caller, permission)

    def _need_project(self, caller: str, permission: str) -> None:
        if not self.world.iam.holds(caller, permission, f"projects/{self.world.project}"):
            raise denied(caller, permission)

    # --- routing
    def _route(self, request: Request) -> Response:
        found = _PATH.fullmatch(request.path)
        if not found:
            raise StorageError(404, "Not Found")
        if not found["bucket"]:
            return self._all_buckets(request)
        name, rest = unquote(found["bucket"]), found["rest"] or ""
        bucket = self.blobs.bucket(name)
        if bucket is None:
            raise StorageError(404, NO_BUCKET)
        if rest == "":
            return self._one_bucket(request, bucket)
        if found["door"] in UPLOADS:
            return self._uploads.handle(request, bucket)
        if rest == "storageLayout":
            return self._layout(request, bucket)
        if rest == "iam" or rest.startswith("iam/"):
            return self._policy(request, bucket, rest)
        if rest.split("/")[0] in ("acl", "defaultObjectAcl") or re.fullmatch(r"o/[^/]+/acl.*", rest):
            raise StorageError(400, UNIFORM) if _uniform(bucket) else _absent("access control lists")
        if rest == "o" or rest.startswith("o/"):
            return self._objects.handle(request, bucket, rest[2:])
        raise _absent(rest)

    def _layout(self, request: Request, bucket: Json) -> Response:
        """What gcloud asks before it removes a bucket: folders are not real here."""
        self.need(request.caller, "storage.objects.list", bucket["name"])
        place = {key: bucket[key] for key in ("location", "locationType")}
        return json_response({"kind": "storage#storageLayout", "bucket": bucket["name"], **place})

    def _all_buckets(self, request: Request) -> Response:
        if request.method == "GET":
            self._need_project(request.caller, "storage.buckets.list")
            prefix = request.first("prefix")
            found = [b for b in self.blobs.buckets() if b["name"].startswith(prefix)]
            return json_response({"kind": "storage#buckets", "items": found})
        if request.method != "POST":
            raise StorageError(405, "Method Not Allowed")
        self._need_project(request.caller, "storage.buckets.create")
        body = _document(request)
        name = str(body.get("name", ""))
        if not _NAME.fullmatch(name) or "goog" in name[:4]:
            raise StorageError(400, f"Invalid bucket name: '{name}'")
        if self.blobs.bucket(name):
            raise StorageError(409, OWNED)
        require_key(self.world, body.get("encryption", {}).get("defaultKmsKeyName", ""), "storage.googleapis.com")
        now = stamp(self.world.clock.now())
        document = {
            "kind": "storage#bucket",
            "storageClass": "STANDARD",
            "softDeletePolicy": {"retentionDurationSeconds": "604800", "effectiveTime": now},
            **body,
            "iamConfiguration": _access(body.get("iamConfiguration", {})),
            "location": str(body.get("location", "US")).upper(),
            "locationType": "region" if "-" in str(body.get("location", "US")) else "multi-region",
            "id": name,
            "projectNumber": self.world.number,
            "timeCreated": now,
            "updated": now,
            "generation": str(int(self.world.clock.now().timestamp() * 1e6)),
            "metageneration": "1",
            "etag": "CAE=",
        }
        self.blobs.save_bucket(document)
        return json_response(document)

    def _one_bucket(self, request: Request, bucket: Json) -> Response:
        name = bucket["name"]
        if request.method == "GET":
            self.need(request.caller, "storage.buckets.get", name)
            return json_response(bucket)
        check_metageneration(request, bucket)
        if request.method == "DELETE":
            self.need(request.caller, "storage.buckets.delete", name)
            if self.blobs.names(name) or self.blobs.older(name, soft_deleted=False):
                raise StorageError(409, "The bucket you tried to delete is not empty.")
            self.blobs.drop_bucket(name)
            self.world.iam.forget(bucket_resource(name))
            return Response(204)
        if request.method not in ("PATCH", "PUT"):
            raise StorageError(405, "Method Not Allowed")
        self.need(request.caller, "storage.buckets.update", name)
        wish = _document(request)
        if "publicAccessPrevention" in wish.get("iamConfiguration", {}):
            # source: the reference of buckets.patch, "Required permissions"
            self.need(request.caller, "storage.buckets.setIamPolicy", name)
        changed = merged(bucket, {k: v for k, v in wish.items() if k not in ("name", "location", "locationType")})
        changed["iamConfiguration"] = _access(changed.get("iamConfiguration", {}))
        changed["metageneration"] = str(int(bucket["metageneration"]) + 1)
        changed["updated"] = stamp(self.world.clock.now())
        self.blobs.save_bucket(changed)
        return json_response(changed)

    def _policy(self, request: Request, bucket: Json, rest: str) -> Response:
        name, resource = bucket["name"], bucket_resource(bucket["name"])
        if rest == "iam/testPermissions":
            asked = list(request.query.get("permissions", []))
            held = [p for p in asked if self.world.iam.holds(request.caller, p, resource)]
            return json_response({"kind": "storage#testIamPermissionsResponse", **({"permissions": held} if held else {})})
        if request.method == "GET":
            self.need(request.caller, "storage.buckets.getIamPolicy", name)
            policy = self.world.iam.policy(resource)
        else:
            self.need(request.caller, "storage.buckets.setIamPolicy", name)
            wanted = json.loads(request.body)
            members = {m for b in wanted.get("bindings", []) for m in b.get("members", [])}
            if members & _PUBLIC and bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced":
                raise StorageError(412, PREVENTED)
            policy = self.world.iam.set_policy(resource, wanted, wanted.get("etag", ""))
        return json_response({"kind": "storage#policy", "resourceId": resource, **policy})


def check_metageneration(request: Request, document: Json) -> None:
    """412 when ifMetagenerationMatch doesn't hold."""
    wanted = request.first("ifMetagenerationMatch")
    if wanted and wanted != document["metageneration"]:
        raise StorageError(412, PRECONDITION)


def merged(document: Json, change: Json) -> Json:
    """JSON merge patch: null removes, objects merge."""
    out = dict(document)
    for key, value in change.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def _document(request: Request) -> Json:
    """The body of a bucket write; a field that nobody knows is a 400 that names it."""
    try:
        body = json.loads(request.body or b"{}")
    except ValueError as error:
        raise StorageError(400, "Parse Error", "parseError") from error
    # a full update echoes what the server itself had said: those fields are dropped like at Google
    served = {"kind", "id", "selfLink", "projectNumber", "timeCreated", "updated", "metageneration", "generation", "etag", "acl",
              "owner", "satisfiesPZS", "defaultObjectAcl"}  # fmt: skip
    for key in body:
        if key not in _WRITABLE | served:
            raise StorageError(400, f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.')
    return {k: v for k, v in body.items() if k in _WRITABLE}


def _access(wish: Json) -> Json:
    prevention = wish.get("publicAccessPrevention", "inherited")
    if prevention not in ("inherited", "enforced"):
        raise StorageError(400, f"Invalid argument for publicAccessPrevention: {prevention}")
    uniform = {"enabled": bool((wish.get("uniformBucketLevelAccess") or {}).get("enabled", False))}
    return {"uniformBucketLevelAccess": uniform, "publicAccessPrevention": prevention}


def _uniform(bucket: Json) -> bool:
    return bool(bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"])


def _absent(what: str) -> StorageError:
    return StorageError(501, f"the sandbox's Cloud Storage has no {what}")


Need = Callable[[str, str, str], None]
