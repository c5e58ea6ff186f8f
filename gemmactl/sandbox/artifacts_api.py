"""Artifact Registry's repositories: create, get, list, update, delete, IAM. Knows no image: images_api does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from google.cloud.artifactregistry_v1.types import repository, service
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from gemmactl.sandbox.documents import merge, page, to_document, to_message
from gemmactl.sandbox.iam_methods import methods
from gemmactl.sandbox.images import forget_repository, of_repository
from gemmactl.sandbox.keys_api import require_key
from gemmactl.sandbox.projects_api import require_project
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

COLLECTION: Final = "repositories"
SERVICE: Final = "artifactregistry_v1.ArtifactRegistry"

_ID: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_STANDARD: Final = 1
"""Repository.Mode.STANDARD_REPOSITORY"""
_LOCATION: Final = re.compile(r"[a-z]+(?:-[a-z]+\d+)?")


def behaviours() -> dict[str, Behaviour]:
    return {
        f"{SERVICE}.CreateRepository": create,
        f"{SERVICE}.GetRepository": get,
        f"{SERVICE}.ListRepositories": list_repositories,
        f"{SERVICE}.UpdateRepository": update,
        f"{SERVICE}.DeleteRepository": delete,
        **methods(SERVICE, "artifactregistry.repositories", require_repository),
    }


def require_repository(world: World, name: str) -> None:
    """Nothing, or the API's 404. `name` may go on below the repository."""
    if world.store.get(COLLECTION, "/".join(name.split("/")[:6])) is None:
        raise failed("NOT_FOUND", "Requested entity was not found.")  # source: shared corpus img-004


def create(world: World, caller: str, request: Any) -> Message:
    parent = world.name(request.parent)
    require_project(world, parent)
    world.iam.require(caller, "artifactregistry.repositories.create", parent)
    location = parent.rpartition("/")[2]
    if not _LOCATION.fullmatch(location):
        raise failed("INVALID_ARGUMENT", f"Location {location} is not found or access is unauthorized.")  # guess
    if not _ID.fullmatch(request.repository_id):
        raise failed(
            "INVALID_ARGUMENT",
            # source: the reference of repositories.create, its rule for repositoryId
            "repository_id must start with a letter, end with a letter or number, contain only lowercase letters, numbers and "
            f'hyphens, and have at most 63 characters; got "{request.repository_id}"',
        )
    if not request.repository.format_:
        raise failed("INVALID_ARGUMENT", "repository format must be specified")  # guess
    require_key(world, request.repository.kms_key_name, "artifactregistry.googleapis.com")
    name = f"{parent}/repositories/{request.repository_id}"
    with world.store.lock:
        if world.store.get(COLLECTION, name) is not None:
            raise failed("ALREADY_EXISTS", "the repository already exists")  # guess
        made = type(request.repository)()
        made.CopyFrom(request.repository)
        made.name = name
        made.registry_uri = f"{location}-docker.pkg.dev/{world.project}/{request.repository_id}"
        made.mode = made.mode or _STANDARD
        made.create_time.FromDatetime(world.clock.now())
        made.update_time.CopyFrom(made.create_time)
        world.store.put(COLLECTION, name, to_document(made))
    return world.operations.done(parent, plain(service.OperationMetadata)(), made)


def get(world: World, caller: str, request: Any) -> Message:
    name = world.name(request.name)
    world.iam.require(caller, "artifactregistry.repositories.get", name)
    found = _load(world, name)
    # source: google.cloud.artifactregistry_v1.Repository: "The size, in bytes, of all artifact storage in this repository"
    found.size_bytes = sum(int(record["size"]) for _, record in of_repository(world, name))
    return found


def list_repositories(world: World, caller: str, request: Any) -> Message:
    parent = world.name(request.parent)
    world.iam.require(caller, "artifactregistry.repositories.list", parent)
    kind = plain(repository.Repository)
    found = [to_message(kind, d) for name, d in world.store.items(COLLECTION) if name.startswith(parent + "/")]
    rows, token = page(found, request.page_size, request.page_token)
    return plain(repository.ListRepositoriesResponse)(repositories=rows, next_page_token=token)


def update(world: World, caller: str, request: Any) -> Message:
    name = world.name(request.repository.name)
    world.iam.require(caller, "artifactregistry.repositories.update", name)
    with world.store.lock:
        kept = _load(world, name)
        if request.repository.format_ not in (0, kept.format_) and "format" in request.update_mask.paths:
            raise failed("INVALID_ARGUMENT", "repository format cannot be changed")  # guess
        merge(kept, request.repository, request.update_mask)
        kept.name = name
        kept.update_time.FromDatetime(world.clock.now())
        world.store.put(COLLECTION, name, to_document(kept))
    return kept


def delete(world: World, caller: str, request: Any) -> Message:
    name = world.name(request.name)
    world.iam.require(caller, "artifactregistry.repositories.delete", name)
    require_repository(world, name)
    forget_repository(world, name)
    world.store.delete(COLLECTION, name)
    world.iam.forget(name)
    return world.operations.done(name.partition("/repositories/")[0], plain(service.OperationMetadata)(), empty_pb2.Empty())


def _load(world: World, name: str) -> Any:
    require_repository(world, name)
    return to_message(plain(repository.Repository), world.store.get(COLLECTION, name) or {})
