"""A container's environment and files with its secrets read as the runtime service account. Knows no process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]


def secret_version(world: World, selector: Json) -> str:
    """The full name that a reference means; a bare secret is one of the project."""
    name = selector["secret"]
    base = name if "/" in name else f"projects/{world.project}/secrets/{name}"
    return f"{world.name(base)}/versions/{selector.get('version') or 'latest'}"


def resolved(world: World, container: Json, email: str, prefix: str) -> dict[str, str]:
    """NAME -> value of the container's env.

    Raises:
        ApiError: 13 INTERNAL in Cloud Run's words, when a secret isn't there or may not be read.
    """
    out: dict[str, str] = {}
    for place, env in enumerate(container.get("env", [])):
        selector = env.get("valueSource", {}).get("secretKeyRef")
        if selector is None:
            out[env["name"]] = env.get("value", "")
        else:
            out[env["name"]] = _value(world, selector, email, f"{prefix}{_at(place)}").decode()
    return out


def of_volume(world: World, selector: Json, email: str, prefix: str = "") -> bytes:
    """The value that a file of a secret volume has now.

    Raises:
        ApiError: as for a variable; the field before the text is a guess.
    """
    return _value(world, selector, email, f"{prefix}spec.template.spec.volumes[0].secret.items[0].key: ")


def _at(place: int) -> str:
    return f"spec.template.spec.containers[0].env[{place}].value_from.secret_key_ref.name: "


def _value(world: World, selector: Json, email: str, prefix: str) -> bytes:
    from google.cloud import secretmanager_v1 as api

    version = secret_version(world, selector)
    by_number = version.replace(f"projects/{world.project}/", f"projects/{world.number}/")
    request = api.AccessSecretVersionRequest.pb(api.AccessSecretVersionRequest(name=version))
    try:
        answer = world.behaviours["secretmanager_v1.SecretManagerService.AccessSecretVersion"](
            world, f"serviceAccount:{email}", request
        )
    except ApiError as error:
        if error.status == "PERMISSION_DENIED":
            # source: corpus iam-098, Cloud Run's pages and published logs (Terraform sees code 13)
            text = (
                f"Permission denied on secret: {by_number} for Revision service account {email}. The service account used must "
                "be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the secret, "
                "project or higher level."
            )
            raise failed("INTERNAL", prefix + text) from error
        # guess
        raise failed("INTERNAL", f"{prefix}Secret {by_number} was not found or can't be read: {error.message}") from error
    payload: Any = answer
    return bytes(payload.payload.data)
