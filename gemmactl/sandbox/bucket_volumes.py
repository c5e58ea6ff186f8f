"""Folders of buckets that a service's container sees as directories. Knows no service and no instance.

A copy, made when the instance starts: what is written to the bucket later is not seen, and what the container writes is gone with
it. Cloud Run mounts with gcsfuse, where both are.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox.assembling import inside
from gemmactl.sandbox.storage import bucket_resource
from gemmactl.sandbox.storage_errors import denied
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
NEEDED: Final = ("storage.objects.list", "storage.objects.get")


@dataclass(frozen=True)
class BucketFolder:
    """`path` as the container names it; `prefix` of the objects that it shows, with its slash, or ``."""

    path: str
    bucket: str
    prefix: str


def mounted(document: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[BucketFolder, ...]:
    """The bucket volumes of a revision's container."""
    volumes = {v.get("name"): v["gcs"] for v in document.get("volumes", ()) if "gcs" in v}
    found = []
    for mount in container.get("volumeMounts", ()):
        if (source := volumes.get(mount.get("name"))) is not None:
            only = (o.partition("=")[2].strip("/") for o in source.get("mountOptions", ()) if o.startswith("only-dir="))
            folder = next(only, "")
            found.append(BucketFolder(str(mount.get("mountPath", "")), source["bucket"], f"{folder}/" if folder else ""))
    return tuple(found)


def require(world: World, folder: BucketFolder, email: str, prefix: str) -> None:
    """Nothing, where the revision's account may read the bucket.

    Raises:
        ApiError: it is not there, or may not be read. `prefix` stands before the text.
    """
    at = f"{prefix}mounting volume at {folder.path} failed: "  # guess
    if world.storage.blobs.bucket(folder.bucket) is None:
        raise failed("FAILED_PRECONDITION", f"{at}bucket {folder.bucket} does not exist.")
    caller = f"serviceAccount:{email}"
    for one in NEEDED:
        if not world.iam.holds(caller, one, bucket_resource(folder.bucket)):
            raise failed("FAILED_PRECONDITION", f"{at}gs://{folder.bucket}: {denied(caller, one).message}")


def fill(world: World, folder: BucketFolder, root: Path) -> None:
    """Write the folder's files into an instance's file system."""
    target = inside(root, folder.path)
    target.mkdir(parents=True, exist_ok=True)
    blobs = world.storage.blobs
    for name in blobs.names(folder.bucket):
        inner = name.removeprefix(folder.prefix)
        meta = blobs.meta(folder.bucket, name)
        if not name.startswith(folder.prefix) or meta is None or not inner or inner.endswith("/") or ".." in inner.split("/"):
            continue
        file = target / inner
        file.parent.mkdir(parents=True, exist_ok=True)
        with blobs.open(folder.bucket, meta) as source, file.open("wb") as out:
            shutil.copyfileobj(source, out)
