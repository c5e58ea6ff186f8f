"""What a build must satisfy before it exists, and its substitutions. Knows no step's meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gemmactl.sandbox import images
from gemmactl.sandbox.storage import bucket_resource
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]


def account_of(world: World, build: Mapping[str, Any]) -> str:
    """E-mail of the service account that the build runs as."""
    return str(build.get("serviceAccount", "")).rpartition("/")[2] or world.compute_account


def admit(world: World, caller: str, build: Json) -> None:
    """Raise what Cloud Build says to a build that may not be; completes the source's generation.

    Raises:
        ApiError: 403, 404 or 400.
    """
    email = account_of(world, build)
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
            # source: Cloud Run's pages and published logs
            raise failed("INVALID_ARGUMENT", "if 'build.service_account' is specified, the build must either (a) specify "
                "'build.logs_bucket', (b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, "
                "or (c) use either CLOUD_LOGGING_ONLY / NONE logging options")  # fmt: skip
    if not build.get("steps"):
        raise failed("INVALID_ARGUMENT", "invalid build: no build steps are specified")  # guess
    for image in build.get("images", []):
        if "$" not in image and images.parse(image) is None:
            raise failed("INVALID_ARGUMENT", f"invalid image name {image!r}: the sandbox pushes to Artifact Registry only")
    _check_source(world, build, email)


def _check_source(world: World, build: Json, email: str) -> None:
    source = build.get("source", {})
    if not source:
        return
    if set(source) != {"storageSource"}:
        raise failed(
            "INVALID_ARGUMENT", "the sandbox's Cloud Build takes its source from Cloud Storage only (source.storageSource)"
        )
    place = source["storageSource"]
    if not world.iam.holds(f"serviceAccount:{email}", "storage.objects.get", bucket_resource(place["bucket"])):
        # source: the seed README's errors
        text = (
            f"could not resolve source: googleapi: Error 403: {email} does not have storage.objects.get access to the "
            "Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist)., forbidden"
        )
        raise failed("INVALID_ARGUMENT", text)
    meta = world.storage.blobs.meta(place["bucket"], place.get("object", ""))
    if meta is None or place.get("generation", meta["generation"]) not in ("0", meta["generation"]):
        lost = f"No such object: {place['bucket']}/{place.get('object', '')}"
        raise failed("INVALID_ARGUMENT", f"could not resolve source: googleapi: Error 404: {lost}, notFound")  # guess
    place["generation"] = meta["generation"]


def substitute(world: World, build: Json, location: str) -> None:
    """Replace $PROJECT_ID, ${_MINE} and the like in steps, images and tags."""
    values = {"PROJECT_ID": world.project, "PROJECT_NUMBER": world.number, "BUILD_ID": build["id"],
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
