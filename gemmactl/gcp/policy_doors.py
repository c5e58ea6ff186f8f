"""How each kind of target hands out and takes its IAM policy, as plain JSON. Knows no binding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import Json, PolicyTarget
from gemmactl.resources.service_account import project_of

IAM: Final = "iam.googleapis.com"
KMS: Final = "cloudkms.googleapis.com"
STORAGE: Final = "storage.googleapis.com"


@dataclass(frozen=True)
class Door:
    """Three calls on one target. `get` and `set` speak policies as JSON with an etag."""

    api: str
    get: Callable[[], Json]
    set: Callable[[Json], Any]
    test: Callable[[list[str]], list[str]]


def door(wire: Wire) -> Callable[[PolicyTarget], Door]:
    """Target -> its Door. Clients are built at first use."""
    clients = {kind: (api, wire.client(make)) for kind, (api, make) in _CLIENTS.items()}

    def of(target: PolicyTarget) -> Door:
        if target.kind == "bucket":
            return _bucket(wire, target.name)
        if target.kind == "service_account":
            return _account(wire, target.name)
        if target.kind == "key":
            return _key(wire, target.name)
        api, client = clients[target.kind]
        return _client_door(api, client, f"projects/{target.name}" if target.kind == "project" else target.name)

    return of


def _client_door(api: str, client: Callable[[], Any], resource: str) -> Door:
    def get() -> Json:
        from google.protobuf.json_format import MessageToDict

        request = {"resource": resource, "options": {"requested_policy_version": 3}}
        found: Json = MessageToDict(client().get_iam_policy(request=request, retry=None, timeout=TIMEOUT))
        return found

    def put(policy: Json) -> Any:
        from google.iam.v1 import policy_pb2
        from google.protobuf.json_format import ParseDict

        request = {"resource": resource, "policy": ParseDict(policy, policy_pb2.Policy())}
        return client().set_iam_policy(request=request, **_ONCE)

    def test(permissions: list[str]) -> list[str]:
        request = {"resource": resource, "permissions": permissions}
        return list(client().test_iam_permissions(request=request, **_ONCE).permissions)

    return Door(api, get, put, test)


def _bucket(wire: Wire, name: str) -> Door:
    # the storage client's Policy object drops what it doesn't know; the JSON API's own form is simpler and whole
    path = f"/storage/v1/b/{name}/iam"
    return Door(
        STORAGE,
        lambda: wire.rest(STORAGE, "GET", path, params={"optionsRequestedPolicyVersion": 3}),
        lambda policy: wire.rest(STORAGE, "PUT", path, body=policy),
        lambda asked: wire.rest(STORAGE, "GET", f"{path}/testPermissions", params={"permissions": asked}).get("permissions", []),
    )


def _account(wire: Wire, email: str) -> Door:
    path = f"/v1/projects/{project_of(email)}/serviceAccounts/{email}"
    return Door(
        IAM,
        lambda: wire.rest(IAM, "POST", f"{path}:getIamPolicy", params={"options.requestedPolicyVersion": 3}),
        lambda policy: wire.rest(IAM, "POST", f"{path}:setIamPolicy", body={"policy": policy}),
        lambda asked: wire.rest(IAM, "POST", f"{path}:testIamPermissions", body={"permissions": asked}).get("permissions", []),
    )


def _key(wire: Wire, name: str) -> Door:
    path = f"/v1/{name}"
    return Door(
        KMS,
        lambda: wire.rest(KMS, "GET", f"{path}:getIamPolicy", params={"options.requestedPolicyVersion": 3}),
        lambda policy: wire.rest(KMS, "POST", f"{path}:setIamPolicy", body={"policy": policy}),
        lambda asked: wire.rest(KMS, "POST", f"{path}:testIamPermissions", body={"permissions": asked}).get("permissions", []),
    )


def _projects() -> Any:
    from google.cloud.resourcemanager_v3 import ProjectsClient

    return ProjectsClient


def _repositories() -> Any:
    from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

    return ArtifactRegistryClient


def _secrets() -> Any:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    return SecretManagerServiceClient


def _services() -> Any:
    from google.cloud.run_v2 import ServicesClient

    return ServicesClient


def _jobs() -> Any:
    from google.cloud.run_v2 import JobsClient

    return JobsClient


_ONCE: Final[dict[str, Any]] = {"retry": None, "timeout": TIMEOUT}
_CLIENTS: Final[dict[str, tuple[str, Callable[[], Any]]]] = {
    "project": ("cloudresourcemanager.googleapis.com", _projects),
    "repository": ("artifactregistry.googleapis.com", _repositories),
    "secret": ("secretmanager.googleapis.com", _secrets),
    "service": ("run.googleapis.com", _services),
    "job": ("run.googleapis.com", _jobs),
}
