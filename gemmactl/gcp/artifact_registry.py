"""Artifact Registry: repositories and the images in them. Knows not how an image is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from gemmactl.client.registry import ACCEPT
from gemmactl.errors import usage
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import RepositoryInfo

API: Final = "artifactregistry.googleapis.com"
KEEP: Final = "keep-newest"
DROP: Final = "delete-old"
DAY: Final = 86400


class ArtifactRegistry:
    """Implements `cloud.Repositories`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._client = wire.client(_client)

    def get(self, name: str) -> RepositoryInfo | None:
        found = self._find(name, "get_repository")
        return _info(found) if found is not None else None

    def create(self, info: RepositoryInfo) -> None:
        from google.cloud.artifactregistry_v1 import CreateRepositoryRequest

        parent, _, short = info.name.partition("/repositories/")
        request = CreateRepositoryRequest(parent=parent, repository_id=short, repository=_proto(info))
        self._long(f"making repository {short}", "create_repository", request)

    def update(self, info: RepositoryInfo) -> None:
        from google.cloud.artifactregistry_v1 import UpdateRepositoryRequest

        wished = _proto(info)
        found = self._find(info.name, "get_repository")
        # the mask replaces the whole map: policies of other names stay only when they are sent along
        for name in {*found.cleanup_policies} - {KEEP, DROP} if found is not None else ():
            wished.cleanup_policies[name] = found.cleanup_policies[name]
        request = UpdateRepositoryRequest(repository=wished, update_mask={"paths": ["labels", "cleanup_policies"]})
        doing = f"changing repository {info.name.rpartition('/')[2]}"
        self._wire.send(API, doing, lambda: self._client().update_repository(request=request, retry=None, timeout=TIMEOUT))

    def delete(self, name: str) -> None:
        doing = f"deleting repository {name.rpartition('/')[2]}"
        self._wire.gone(API, doing, lambda: self._long(doing, "delete_repository", {"name": name}))

    def digest(self, image: str) -> str | None:
        found = self._find(tag_name(image), "get_tag")
        return found.version.rpartition("/")[2] if found is not None else None

    def platforms(self, image: str) -> tuple[str, ...] | None:
        host, _, rest = image.partition("/")
        name, _, reference = rest.partition("@") if "@" in rest else rest.rpartition(":")
        name = name.partition(":")[0]
        # a pretended cloud has one address for all regions; to the real one a name that is set would follow a redirect elsewhere
        headers = {"Accept": ACCEPT, **({"Host": host} if self._wire.endpoint else {})}

        def ask(what: str) -> Any:
            doing = f"image {image.rpartition('/')[2]}"
            return self._wire.find(API, doing, lambda: self._wire.rest(host, "GET", f"/v2/{name}/{what}", headers=headers))

        manifest = ask(f"manifests/{reference}")
        if manifest is None:
            return None
        if "manifests" in manifest:
            # attestations beside the images are of no platform
            return tuple(p for one in manifest["manifests"] if (p := platform_of(one.get("platform") or {})))
        config = ask(f"blobs/{manifest['config']['digest']}") if "config" in manifest else manifest
        return tuple(filter(None, (platform_of(config or {}),)))

    def delete_image(self, image: str) -> None:
        found = self._find(tag_name(image), "get_tag")
        if found is None:
            return
        doing = f"deleting image {image.rpartition('/')[2]}"
        request = {"name": found.version, "force": True}
        self._wire.gone(API, doing, lambda: self._long(doing, "delete_version", request))

    def _find(self, name: str, method: str) -> Any:
        def ask() -> Any:
            return getattr(self._client(), method)(request={"name": name}, retry=None, timeout=TIMEOUT)

        return self._wire.find(API, name.rpartition("/")[2], ask)

    def _long(self, doing: str, method: str, request: Any) -> None:
        def ask() -> Any:
            return getattr(self._client(), method)(request=request, retry=None, timeout=TIMEOUT)

        self._wire.wait(API, doing, self._wire.send(API, doing, ask))


def tag_name(image: str) -> str:
    """Resource name of `HOST/PROJECT/REPOSITORY/NAME:TAG`; a name with slashes is one package.

    Raises:
        Trouble: (usage) it is no tag in Artifact Registry.
    """
    path, _, tag = image.rpartition(":")
    host, _, rest = path.partition("/")
    region = host.removesuffix("-docker.pkg.dev")
    parts = rest.split("/")
    # domain-scoped projects are two parts here and `domain:name` in resource names
    project, parts = (f"{parts[0]}:{parts[1]}", parts[2:]) if "." in parts[0] and len(parts) > 3 else (parts[0], parts[1:])
    if region == host or len(parts) < 2 or not tag:
        raise usage(
            f"{image} is not an image in Artifact Registry",
            why="the form is REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG",
            remedy="check the name",
            code="image-name",
        )
    package = quote("/".join(parts[1:]), safe="")
    return f"projects/{project}/locations/{region}/repositories/{parts[0]}/packages/{package}/tags/{tag}"


def platform_of(said: Mapping[str, Any]) -> str:
    """`linux/amd64` of an image's configuration or of a line of an index; `` where it names none."""
    system, machine = str(said.get("os") or ""), str(said.get("architecture") or "")
    return f"{system}/{machine}" if machine and "unknown" not in (system, machine) else ""


def _proto(info: RepositoryInfo) -> Any:
    from google.cloud.artifactregistry_v1 import CleanupPolicy, Repository

    policies: dict[str, Any] = {}
    if info.keep_newest is not None:
        keep = {"keep_count": info.keep_newest}
        policies[KEEP] = CleanupPolicy(id=KEEP, action="KEEP", most_recent_versions=keep)
    if info.delete_after_days is not None:
        # every image of ours is tagged: a policy for untagged ones alone would never find one. What both policies name is kept;
        # the overview of clean-up policies in the documentation of Artifact Registry says so
        condition = {"tag_state": "ANY", "older_than": {"seconds": info.delete_after_days * DAY}}
        policies[DROP] = CleanupPolicy(id=DROP, action="DELETE", condition=condition)
    return Repository(
        name=info.name, format_=info.format, labels=dict(info.labels), cleanup_policies=policies, kms_key_name=info.kms_key
    )


def _info(found: Any) -> RepositoryInfo:
    keep, drop = found.cleanup_policies.get(KEEP), found.cleanup_policies.get(DROP)
    return RepositoryInfo(
        found.name,
        found.format_.name,
        dict(found.labels),
        keep.most_recent_versions.keep_count if keep else None,
        int(drop.condition.older_than.total_seconds() // DAY) if drop else None,
        found.kms_key_name,
        int(found.size_bytes) or None,  # a repository that holds nothing, and one whose size is not counted yet, both tell 0
    )


def _client() -> Any:
    from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

    return ArtifactRegistryClient
