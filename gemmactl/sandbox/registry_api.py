"""The registry's own protocol, as far as it tells what an image is: manifests and configurations. Knows no push and no layer.

The Open Container Initiative's distribution-spec, "Pulling manifests" and "Pulling blobs".
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox import images
from gemmactl.sandbox.gate import require_enabled
from gemmactl.sandbox.wire import Request, Response, failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

PATH: Final = re.compile(r"/v2/(?!projects/)(?P<name>[^?]+)/(?P<kind>manifests|blobs)/(?P<reference>[^/?]+)$")
_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_CONFIG: Final = "application/vnd.docker.container.image.v1+json"


def handle(world: World, request: Request) -> Response:
    """A manifest or a configuration; the host says in which region the image lies."""
    require_enabled(world, "artifactregistry.googleapis.com")
    found = PATH.fullmatch(request.path)
    host = request.host.partition(":")[0]
    at = images.parse(f"{host}/{found['name']}") if found else None
    if found is None or at is None:
        raise failed("NOT_FOUND", f"The sandbox has no registry at {host}")
    world.iam.require(request.caller, "artifactregistry.repositories.downloadArtifacts", at.parent)
    if found["kind"] == "blobs":
        configs = (part for stem, one in images.of_repository(world, at.parent) if stem == at.stem for part in _configs(one))
        body = next((one for one in configs if _digest(one) == found["reference"]), None)
        return _served(body, _CONFIG)
    mark = "@" if found["reference"].startswith("sha256:") else ":"
    record = images.resolve(world, f"{at.stem}{mark}{found['reference']}")
    if record is None:
        return _served(None, _MANIFEST)
    configs_of = _configs(record)
    manifests = [_bytes(_manifest(config)) for config in configs_of]
    if len(manifests) == 1:
        return _served(manifests[0], _MANIFEST)
    lines = [
        {"mediaType": _MANIFEST, "digest": _digest(one), "size": len(one), "platform": json.loads(config)}
        for one, config in zip(manifests, configs_of, strict=True)
    ]
    return _served(_bytes({"schemaVersion": 2, "mediaType": _INDEX, "manifests": lines}), _INDEX)


def _configs(record: dict[str, Any]) -> list[bytes]:
    """One for each platform; what is built here is for amd64."""
    platforms = record["config"].get("platforms") or ["linux/amd64"]
    return [_bytes(dict(zip(("os", "architecture"), one.split("/"), strict=True))) for one in platforms]


def _manifest(config: bytes) -> dict[str, Any]:
    about = {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)}
    return {"schemaVersion": 2, "mediaType": _MANIFEST, "config": about, "layers": []}


def _served(body: bytes | None, kind: str) -> Response:
    if body is None:
        # source: distribution-spec, error codes
        lost = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "Requested entity was not found."}]}
        return Response(404, {"content-type": "application/json"}, _bytes(lost))
    return Response(200, {"content-type": kind, "docker-content-digest": _digest(body)}, body)


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
