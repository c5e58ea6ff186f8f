"""Secret Manager: secrets. Knows no payload: secret_versions_api does.

Answers name the project by number, as Google's do; requests may use the id or the number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from google.cloud.secretmanager_v1.types import resources, service
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from gemmactl.sandbox.documents import merge, page, to_document, to_message
from gemmactl.sandbox.iam_methods import methods
from gemmactl.sandbox.keys_api import require_key
from gemmactl.sandbox.projects_api import require_project
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

COLLECTION: Final = "secrets"
VERSIONS: Final = "secret_versions"
SERVICE: Final = "secretmanager_v1.SecretManagerService"

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def behaviours() -> dict[str, Behaviour]:
    return {
        f"{SERVICE}.CreateSecret": create,
        f"{SERVICE}.GetSecret": get,
        f"{SERVICE}.ListSecrets": list_secrets,
        f"{SERVICE}.UpdateSecret": update,
        f"{SERVICE}.DeleteSecret": delete,
        **methods(SERVICE, "secretmanager.secrets", require_secret),
    }


def by_number(world: World, name: str) -> str:
    """The name as answers and messages have it."""
    return name.replace(f"projects/{world.project}/", f"projects/{world.number}/", 1)


def require_secret(world: World, name: str) -> None:
    """Nothing, or the API's 404."""
    if world.store.get(COLLECTION, name) is None:
        raise failed("NOT_FOUND", f"Secret [{by_number(world, name)}] not found.")  # source: Google's text in public reports


def load(world: World, name: str) -> Any:
    """The secret as its message; 404 when there is none."""
    require_secret(world, name)
    return to_message(plain(resources.Secret), world.store.get(COLLECTION, name) or {})


def check_etag(given: str, kept: str) -> None:
    """Nothing, or the refusal of a change that was based on an old reading."""
    if given and given != kept:
        # source: the field's documentation: "If provided, the etag must match"; the wording is a guess
        raise failed("FAILED_PRECONDITION", f"The etag provided does not match: expected {kept}, got {given}.")


def create(world: World, caller: str, request: Any) -> Message:
    parent = world.name(request.parent)
    require_project(world, parent)
    world.iam.require(caller, "secretmanager.secrets.create", parent)
    if not _ID.fullmatch(request.secret_id):
        raise failed(
            "INVALID_ARGUMENT",
            # source: the reference of secrets.create, its rule for secretId
            f"The provided Secret ID [{request.secret_id}] does not match the expected format [[a-zA-Z_0-9]+]",
        )
    chosen = request.secret.replication.WhichOneof("replication")
    if "/locations/" not in parent and chosen is None:
        raise failed("INVALID_ARGUMENT", "Secret.replication must be provided and must have a replication policy set.")  # guess
    if chosen == "user_managed" and not request.secret.replication.user_managed.replicas:
        raise failed("INVALID_ARGUMENT", "Secret.replication.user_managed must have at least one replica.")  # guess
    for replica in request.secret.replication.user_managed.replicas:
        require_key(world, replica.customer_managed_encryption.kms_key_name, "secretmanager.googleapis.com")
    name = f"{parent}/secrets/{request.secret_id}"
    with world.store.lock:
        if world.store.get(COLLECTION, name) is not None:
            # source: Google's text in public reports
            raise failed("ALREADY_EXISTS", f"Secret [{by_number(world, name)}] already exists.")
        made = type(request.secret)()
        made.CopyFrom(request.secret)
        made.name = by_number(world, name)
        made.create_time.FromDatetime(world.clock.now())
        _stamp(world, made)
        world.store.put(COLLECTION, name, to_document(made))
    return made


def get(world: World, caller: str, request: Any) -> Message:
    name = world.name(request.name)
    world.iam.require(caller, "secretmanager.secrets.get", name)
    found: Message = load(world, name)
    return found


def list_secrets(world: World, caller: str, request: Any) -> Message:
    parent = world.name(request.parent)
    world.iam.require(caller, "secretmanager.secrets.list", parent)
    if request.filter:
        raise failed("INVALID_ARGUMENT", f"The sandbox does not understand the filter {request.filter!r}")
    kind = plain(resources.Secret)
    found = [to_message(kind, d) for name, d in world.store.items(COLLECTION) if name.rpartition("/secrets/")[0] == parent]
    rows, token = page(found, request.page_size, request.page_token)
    return plain(service.ListSecretsResponse)(secrets=rows, next_page_token=token, total_size=len(found))


def update(world: World, caller: str, request: Any) -> Message:
    name = world.name(request.secret.name)
    world.iam.require(caller, "secretmanager.secrets.update", name)
    with world.store.lock:
        kept = load(world, name)
        check_etag(request.secret.etag, kept.etag)
        if not request.update_mask.paths:
            raise failed("INVALID_ARGUMENT", "The field mask must not be empty.")  # guess
        if any(path.partition(".")[0] in ("replication", "name", "create_time") for path in request.update_mask.paths):
            raise failed("INVALID_ARGUMENT", "The field mask names a field that cannot be changed.")  # guess
        merge(kept, request.secret, request.update_mask)
        _stamp(world, kept)
        world.store.put(COLLECTION, name, to_document(kept))
    result: Message = kept
    return result


def delete(world: World, caller: str, request: Any) -> Message:
    name = world.name(request.name)
    world.iam.require(caller, "secretmanager.secrets.delete", name)
    with world.store.lock:
        check_etag(request.etag, load(world, name).etag)
        for version, _ in world.store.items(VERSIONS):
            if version.startswith(f"{name}/versions/"):
                world.store.delete(VERSIONS, version)
        world.store.delete(COLLECTION, name)
        world.iam.forget(name)
    return empty_pb2.Empty()


def _stamp(world: World, secret: Any) -> None:
    secret.etag = f'"{world.store.count("secret-etag"):x}"'
