"""Artifact Registry's docker images, packages, versions and tags. Knows no repository's settings and no build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from google.cloud.artifactregistry_v1.types import artifact, package, service, tag, version
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from gemmactl.sandbox import images
from gemmactl.sandbox.artifacts_api import SERVICE, require_repository
from gemmactl.sandbox.documents import page
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

_FULL: Final = 2
"""VersionView.FULL"""
_MEDIA_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"


def behaviours() -> dict[str, Behaviour]:
    return {
        f"{SERVICE}.GetDockerImage": get_docker_image,
        f"{SERVICE}.ListDockerImages": list_docker_images,
        f"{SERVICE}.GetPackage": get_package,
        f"{SERVICE}.ListPackages": list_packages,
        f"{SERVICE}.DeletePackage": delete_package,
        f"{SERVICE}.GetVersion": get_version,
        f"{SERVICE}.ListVersions": list_versions,
        f"{SERVICE}.DeleteVersion": delete_version,
        f"{SERVICE}.GetTag": get_tag,
        f"{SERVICE}.ListTags": list_tags,
        f"{SERVICE}.DeleteTag": delete_tag,
    }


def get_docker_image(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.name, "artifactregistry.dockerimages.get", "dockerImages")
    stem, _, digest = tail.partition("@")
    record = world.store.get(images.IMAGES, f"{_host(parent)}/{stem}@{digest}")
    if record is None:
        raise _not_found()
    return _docker_image(world, f"{_host(parent)}/{stem}", record)


def list_docker_images(world: World, caller: str, request: Any) -> Message:
    parent = _list_in(world, caller, request.parent, "artifactregistry.dockerimages.list")
    found = [_docker_image(world, stem, record) for stem, record in images.of_repository(world, parent)]
    rows, token = page(found, request.page_size, request.page_token)
    return plain(artifact.ListDockerImagesResponse)(docker_images=rows, next_page_token=token)


def get_package(world: World, caller: str, request: Any) -> Message:
    name, parent, tail = _enter(world, caller, request.name, "artifactregistry.packages.get", "packages")
    if not _versions(world, f"{_host(parent)}/{tail}"):
        raise _not_found()
    return plain(package.Package)(name=name)


def list_packages(world: World, caller: str, request: Any) -> Message:
    parent = _list_in(world, caller, request.parent, "artifactregistry.packages.list")
    stems = sorted({stem for stem, _ in images.of_repository(world, parent)})
    found = [plain(package.Package)(name=_package(parent, stem)) for stem in stems]
    rows, token = page(found, request.page_size, request.page_token)
    return plain(package.ListPackagesResponse)(packages=rows, next_page_token=token)


def delete_package(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.name, "artifactregistry.packages.delete", "packages")
    stem = f"{_host(parent)}/{tail}"
    found = _versions(world, stem)
    if not found:
        raise _not_found()
    for record in found:
        images.forget_image(world, stem, record["digest"])
    return _emptied(world, parent)


def get_version(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.name, "artifactregistry.versions.get", "packages")
    stem, digest = _split(parent, tail, "versions")
    return _version(world, parent, stem, _record(world, stem, digest), request.view == _FULL)


def list_versions(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.parent, "artifactregistry.versions.list", "packages")
    stem = f"{_host(parent)}/{tail}"
    found = [_version(world, parent, stem, record, request.view == _FULL) for record in _versions(world, stem)]
    rows, token = page(found, request.page_size, request.page_token)
    return plain(version.ListVersionsResponse)(versions=rows, next_page_token=token)


def delete_version(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.name, "artifactregistry.versions.delete", "packages")
    stem, digest = _split(parent, tail, "versions")
    _record(world, stem, digest)
    tags = images.tags_of(world, stem, digest)
    if tags and not request.force:
        # guess: the reference only says that a tagged version is not deleted without force
        raise failed("FAILED_PRECONDITION", f"failed to delete version {digest}: it is referenced by the tags {', '.join(tags)}")
    images.forget_image(world, stem, digest)
    return _emptied(world, parent)


def get_tag(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.name, "artifactregistry.tags.get", "packages")
    stem, name = _split(parent, tail, "tags")
    return _tag(world, parent, stem, name)


def list_tags(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.parent, "artifactregistry.tags.list", "packages")
    stem = f"{_host(parent)}/{tail}"
    found = [_tag(world, parent, stem, name) for name in images.tags_of(world, stem)]
    rows, token = page(found, request.page_size, request.page_token)
    return plain(tag.ListTagsResponse)(tags=rows, next_page_token=token)


def delete_tag(world: World, caller: str, request: Any) -> Message:
    _, parent, tail = _enter(world, caller, request.name, "artifactregistry.tags.delete", "packages")
    stem, name = _split(parent, tail, "tags")
    if not world.store.delete(images.TAGS, f"{stem}:{name}"):
        raise _not_found()
    return empty_pb2.Empty()


def _enter(world: World, caller: str, asked: str, permission: str, kind: str) -> tuple[str, str, str]:
    """(name, repository, what follows `kind/`, with its slashes decoded), after the permission was checked."""
    name = world.name(asked)
    parent = "/".join(name.split("/")[:6])
    world.iam.require(caller, permission, parent)
    require_repository(world, parent)
    return name, parent, unquote(name.removeprefix(f"{parent}/{kind}/"))


def _list_in(world: World, caller: str, asked: str, permission: str) -> str:
    parent = world.name(asked)
    world.iam.require(caller, permission, parent)
    require_repository(world, parent)
    return parent


def _host(parent: str) -> str:
    """`LOCATION-docker.pkg.dev/PROJECT/REPO` of a repository's resource name."""
    _, project, _, location, _, repository = parent.split("/")
    return f"{location}-docker.pkg.dev/{project}/{repository}"


def _split(parent: str, tail: str, kind: str) -> tuple[str, str]:
    name, _, last = tail.partition(f"/{kind}/")
    return f"{_host(parent)}/{name}", last


def _package(parent: str, stem: str) -> str:
    return f"{parent}/packages/{quote(stem.removeprefix(_host(parent) + '/'), safe='')}"


def _record(world: World, stem: str, digest: str) -> dict[str, Any]:
    record = world.store.get(images.IMAGES, f"{stem}@{digest}")
    if record is None:
        raise _not_found()
    return record


def _versions(world: World, stem: str) -> list[dict[str, Any]]:
    return [record for key, record in world.store.items(images.IMAGES) if key.partition("@")[0] == stem]


def _docker_image(world: World, stem: str, record: dict[str, Any]) -> Any:
    parent = record["parent"]
    name = quote(stem.removeprefix(_host(parent) + "/"), safe="")
    made = plain(artifact.DockerImage)(
        name=f"{parent}/dockerImages/{name}@{record['digest']}",
        uri=f"{stem}@{record['digest']}",
        tags=images.tags_of(world, stem, record["digest"]),
        image_size_bytes=record["size"],
        media_type=_MEDIA_TYPE,
    )
    made.upload_time.FromJsonString(record["uploaded"])
    made.update_time.FromJsonString(record["uploaded"])
    return made


def _version(world: World, parent: str, stem: str, record: dict[str, Any], full: bool) -> Any:
    made = plain(version.Version)(name=f"{_package(parent, stem)}/versions/{record['digest']}")
    made.create_time.FromJsonString(record["uploaded"])
    made.update_time.FromJsonString(record["uploaded"])
    if full:
        tags = images.tags_of(world, stem, record["digest"])
        made.related_tags.extend(_tag(world, parent, stem, name) for name in tags)
    return made


def _tag(world: World, parent: str, stem: str, name: str) -> Any:
    found = world.store.get(images.TAGS, f"{stem}:{name}")
    if found is None:
        raise _not_found()
    at = _package(parent, stem)
    return plain(tag.Tag)(name=f"{at}/tags/{name}", version=f"{at}/versions/{found['digest']}")


def _emptied(world: World, parent: str) -> Message:
    location = parent.partition("/repositories/")[0]
    return world.operations.done(location, plain(service.OperationMetadata)(), empty_pb2.Empty())


def _not_found() -> Exception:
    return failed("NOT_FOUND", "Requested entity was not found.")  # source: shared corpus img-004
