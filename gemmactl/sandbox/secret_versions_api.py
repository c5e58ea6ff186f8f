"""Secret Manager: versions and payloads. Knows no secret's settings.

Payloads lie in the sandbox's folder, which only its user can enter; a destroyed version's payload is gone from it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import google_crc32c
from google.cloud.secretmanager_v1.types import resources, service
from google.protobuf.message import Message

from gemmactl.sandbox.documents import page, to_document, to_message
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.secrets_api import SERVICE, VERSIONS, by_number, check_etag, load
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

LIMIT: Final = 64 << 10
"""Bytes in one payload. Source: Secret Manager quotas."""

ENABLED, DISABLED, DESTROYED = 1, 2, 3
_STATE: Final = {ENABLED: "ENABLED", DISABLED: "DISABLED", DESTROYED: "DESTROYED"}


def behaviours() -> dict[str, Behaviour]:
    return {
        f"{SERVICE}.AddSecretVersion": add,
        f"{SERVICE}.GetSecretVersion": get,
        f"{SERVICE}.ListSecretVersions": list_versions,
        f"{SERVICE}.AccessSecretVersion": access,
        f"{SERVICE}.EnableSecretVersion": enable,
        f"{SERVICE}.DisableSecretVersion": disable,
        f"{SERVICE}.DestroySecretVersion": destroy,
    }


def payload(world: World, name: str) -> bytes:
    """The bytes of `projects/P/secrets/S/versions/N|latest`, permission unchecked: what Cloud Run puts into a container.

    Raises:
        ApiError: 404 when it is not there, 400 when it is disabled or destroyed.
    """
    name, version, data = _find(world, world.name(name))
    if version.state != ENABLED:
        # source: Google's text in public reports
        raise failed("FAILED_PRECONDITION", f"Secret Version [{by_number(world, name)}] is in {_STATE[version.state]} state.")
    return data


def add(world: World, caller: str, request: Any) -> Message:
    secret = world.name(request.parent)
    world.iam.require(caller, "secretmanager.versions.add", secret)
    data = request.payload.data
    if len(data) > LIMIT:
        # guess: the limit is documented, its message is not
        raise failed("INVALID_ARGUMENT", f"The secret payload's size of {len(data)} bytes exceeds the limit of {LIMIT} bytes.")
    if request.payload.HasField("data_crc32c") and request.payload.data_crc32c != _crc(data):
        # guess: documented as "SecretManager verifies the integrity", its message is not
        raise failed("INVALID_ARGUMENT", "The checksum in data_crc32c does not match the payload.")
    with world.store.lock:
        kept = load(world, secret)
        number = len(_numbers(world, secret)) + 1
        made = plain(resources.SecretVersion)(
            name=by_number(world, f"{secret}/versions/{number}"),
            state=ENABLED,
            client_specified_payload_checksum=request.payload.HasField("data_crc32c"),
            etag=f'"{world.store.count("secret-etag"):x}"',
        )
        made.create_time.FromDatetime(world.clock.now())
        if kept.replication.WhichOneof("replication") == "user_managed":
            for replica in kept.replication.user_managed.replicas:
                made.replication_status.user_managed.replicas.add(location=replica.location)
        else:
            made.replication_status.automatic.SetInParent()
        _save(world, f"{secret}/versions/{number}", made, data)
    return made


def get(world: World, caller: str, request: Any) -> Message:
    name = world.name(request.name)
    world.iam.require(caller, "secretmanager.versions.get", name)
    found: Message = _find(world, name)[1]
    return found


def list_versions(world: World, caller: str, request: Any) -> Message:
    secret = world.name(request.parent)
    world.iam.require(caller, "secretmanager.versions.list", secret)
    load(world, secret)
    wanted = request.filter.replace(" ", "").upper()
    if wanted and wanted not in ("STATE:ENABLED", "STATE=ENABLED", "STATE:DISABLED", "STATE=DISABLED"):
        raise failed("INVALID_ARGUMENT", f"The sandbox does not understand the filter {request.filter!r}")
    state = wanted[6:]
    newest_first = [_find(world, f"{secret}/versions/{n}")[1] for n in reversed(_numbers(world, secret))]
    chosen = [v for v in newest_first if state in ("", _STATE[v.state])]
    rows, token = page(chosen, request.page_size, request.page_token)
    return plain(service.ListSecretVersionsResponse)(versions=rows, next_page_token=token, total_size=len(chosen))


def access(world: World, caller: str, request: Any) -> Message:
    asked = world.name(request.name)
    world.iam.require(caller, "secretmanager.versions.access", asked)
    data = payload(world, asked)
    found = {"data": data, "data_crc32c": _crc(data)}
    return plain(service.AccessSecretVersionResponse)(name=by_number(world, _find(world, asked)[0]), payload=found)


def enable(world: World, caller: str, request: Any) -> Message:
    return _switch(world, caller, request, "enable", ENABLED)


def disable(world: World, caller: str, request: Any) -> Message:
    return _switch(world, caller, request, "disable", DISABLED)


def destroy(world: World, caller: str, request: Any) -> Message:
    return _switch(world, caller, request, "destroy", DESTROYED)


def _switch(world: World, caller: str, request: Any, verb: str, state: int) -> Message:
    world.iam.require(caller, f"secretmanager.versions.{verb}", world.name(request.name))
    with world.store.lock:
        name, version, data = _find(world, world.name(request.name))
        check_etag(request.etag, version.etag)
        if version.state == DESTROYED:
            raise failed("FAILED_PRECONDITION", f"Secret Version [{by_number(world, name)}] is in DESTROYED state.")
        version.state = state
        version.etag = f'"{world.store.count("secret-etag"):x}"'
        if state == DESTROYED:
            version.destroy_time.FromDatetime(world.clock.now())
            data = b""
        _save(world, name, version, data)
    result: Message = version
    return result


def _find(world: World, name: str) -> tuple[str, Any, bytes]:
    """(name with a number, message, payload) of a version by number, alias or `latest`."""
    secret, _, which = name.rpartition("/versions/")
    kept = load(world, secret)
    numbers = _numbers(world, secret)
    if which == "latest":
        if not numbers:
            # source: Google's text in public reports
            raise failed("NOT_FOUND", f"Secret [{by_number(world, secret)}] not found or has no versions.")
        which = str(numbers[-1])
    elif which in kept.version_aliases:
        which = str(kept.version_aliases[which])
    document = world.store.get(VERSIONS, f"{secret}/versions/{which}")
    if document is None:
        raise failed("NOT_FOUND", f"Secret Version [{by_number(world, secret)}/versions/{which}] not found.")
    version = to_message(plain(resources.SecretVersion), document["version"])
    return f"{secret}/versions/{which}", version, base64.b64decode(document["data"])


def _numbers(world: World, secret: str) -> list[int]:
    start = f"{secret}/versions/"
    return sorted(int(name.removeprefix(start)) for name, _ in world.store.items(VERSIONS) if name.startswith(start))


def _save(world: World, name: str, version: Message, data: bytes) -> None:
    world.store.put(VERSIONS, name, {"version": to_document(version), "data": base64.b64encode(data).decode()})


def _crc(data: bytes) -> int:
    return int(google_crc32c.value(data))
