"""Service Usage: which APIs the project has enabled, and what enabling one brings along. Knows no other API's resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.cloud.service_usage_v1.types import resources, serviceusage
from google.protobuf.message import Message

from gemmactl.sandbox.accounts_api import add_google_account
from gemmactl.sandbox.projects_api import require_project
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

COLLECTION: Final = "apis"

BORN_ENABLED: Final = (
    "cloudapis.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "servicemanagement.googleapis.com",
    "serviceusage.googleapis.com",
    "storage-api.googleapis.com",
    "storage-component.googleapis.com",
    "storage.googleapis.com",
)
"""What a new project has. Source: Service Usage documentation, "services enabled by default", without the BigQuery family."""

KNOWN: Final = frozenset(
    (
        *BORN_ENABLED,
        "artifactregistry.googleapis.com",
        "cloudbilling.googleapis.com",
        "cloudbuild.googleapis.com",
        "cloudkms.googleapis.com",
        "cloudquotas.googleapis.com",
        "cloudresourcemanager.googleapis.com",
        "compute.googleapis.com",
        "iam.googleapis.com",
        "iamcredentials.googleapis.com",
        "orgpolicy.googleapis.com",
        "policytroubleshooter.googleapis.com",
        "run.googleapis.com",
        "secretmanager.googleapis.com",
    )
)

_AGENT: Final = {"run.googleapis.com": ("serverless-robot-prod", "roles/run.serviceAgent")}
"""The service agent that an API makes when it is enabled, with its role on the project."""

_WITH_COMPUTE_ACCOUNT: Final = ("compute.googleapis.com", "run.googleapis.com", "cloudbuild.googleapis.com")


def behaviours() -> dict[str, Behaviour]:
    service = "service_usage_v1.ServiceUsage"
    return {
        f"{service}.EnableService": enable,
        f"{service}.BatchEnableServices": batch_enable,
        f"{service}.DisableService": disable,
        f"{service}.GetService": get,
        f"{service}.BatchGetServices": batch_get,
        f"{service}.ListServices": list_services,
    }


def begin(world: World) -> None:
    """The APIs of a project that was just made."""
    if not world.store.items(COLLECTION):
        for api in BORN_ENABLED:
            world.store.put(COLLECTION, api, {})


def switch_on(world: World, api: str) -> None:
    """Enable one API: its service agent and the accounts it needs appear."""
    world.store.put(COLLECTION, api, {})
    if api in _AGENT:
        domain, role = _AGENT[api]
        agent = f"serviceAccount:service-{world.number}@{domain}.iam.gserviceaccount.com"
        world.iam.grant(agent, role, f"projects/{world.project}")
    if api in _WITH_COMPUTE_ACCOUNT:
        # without a role: organisations made since 2024 don't give default accounts any (Cloud Run's pages and published logs)
        add_google_account(world, world.compute_account, "Default compute service account")


def enable(world: World, caller: str, request: Any) -> Message:
    api = request.name.rpartition("/")[2]
    _require_enable(world, caller, request.name, [api])
    switch_on(world, api)
    done = plain(serviceusage.EnableServiceResponse)(service=_service(world, api))
    return world.operations.done("", _metadata(world, [api]), done)


def batch_enable(world: World, caller: str, request: Any) -> Message:
    wanted = list(dict.fromkeys(request.service_ids))
    if not 1 <= len(request.service_ids) <= 20:
        # source: the reference of services.batchEnable: "A single request can enable a maximum of 20 services at a time"
        raise failed("INVALID_ARGUMENT", "Request must contain between 1 and 20 service ids.")
    _require_enable(world, caller, request.parent, wanted)
    for api in wanted:
        switch_on(world, api)
    done = plain(serviceusage.BatchEnableServicesResponse)(services=[_service(world, api) for api in request.service_ids])
    return world.operations.done("", _metadata(world, wanted), done)


def disable(world: World, caller: str, request: Any) -> Message:
    require_project(world, request.name)
    world.iam.require(caller, "serviceusage.services.disable", world.name(request.name))
    api = request.name.rpartition("/")[2]
    world.store.delete(COLLECTION, api)
    done = plain(serviceusage.DisableServiceResponse)(service=_service(world, api))
    return world.operations.done("", _metadata(world, [api]), done)


def get(world: World, caller: str, request: Any) -> Message:
    require_project(world, request.name)
    world.iam.require(caller, "serviceusage.services.get", world.name(request.name))
    api = request.name.rpartition("/")[2]
    _require_known(world, [api])
    return _service(world, api)


def batch_get(world: World, caller: str, request: Any) -> Message:
    require_project(world, request.parent)
    world.iam.require(caller, "serviceusage.services.get", world.name(request.parent))
    if len(request.names) > 30:
        # source: the reference of services.batchGet: "A single request can get a maximum of 30 services at a time"
        raise failed("INVALID_ARGUMENT", "Request must contain no more than 30 service names.")
    apis = [name.rpartition("/")[2] for name in request.names]
    _require_known(world, apis)
    return plain(serviceusage.BatchGetServicesResponse)(services=[_service(world, api) for api in apis])


def list_services(world: World, caller: str, request: Any) -> Message:
    require_project(world, request.parent)
    world.iam.require(caller, "serviceusage.services.list", world.name(request.parent))
    if request.filter not in ("", "state:ENABLED", "state:DISABLED"):
        # source: the reference of services.list: "The allowed filter strings are state:ENABLED and state:DISABLED"
        raise failed("INVALID_ARGUMENT", f"Invalid filter: {request.filter}")
    wanted = request.filter.removeprefix("state:")
    apis = sorted(KNOWN | {name for name, _ in world.store.items(COLLECTION)})
    chosen = [api for api in apis if wanted in ("", "ENABLED" if world.enabled(api) else "DISABLED")]
    return plain(serviceusage.ListServicesResponse)(services=[_service(world, api) for api in chosen])


def _require_enable(world: World, caller: str, name: str, apis: list[str]) -> None:
    require_project(world, name)
    project = f"projects/{world.project}"
    if not world.iam.holds(caller, "serviceusage.services.enable", project):
        listed = ", ".join(apis)
        raise failed(
            "PERMISSION_DENIED",
            # source: Google's text in public reports; the details are those of Service Usage, not of IAM
            f"Permission denied to enable service [{listed}]",
            {
                "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [{"type": "googleapis.com", "subject": f"?error_code=110002&services={'&services='.join(apis)}"}],
            },
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "AUTH_PERMISSION_DENIED",
                "domain": "serviceusage.googleapis.com",
                "metadata": {"services": ",".join(apis)},
            },
        )
    _require_known(world, apis)


def _require_known(world: World, apis: list[str]) -> None:
    unknown = [api for api in apis if api not in KNOWN and not world.enabled(api)]
    if unknown:
        # source: public reports of mistyped names; it is a 403 although nothing was denied
        raise failed("PERMISSION_DENIED", f"Not found or permission denied for service(s): {', '.join(unknown)}.")


def _service(world: World, api: str) -> Any:
    return plain(resources.Service)(
        name=f"projects/{world.number}/services/{api}",
        parent=f"projects/{world.number}",
        config={"name": api},
        state=2 if world.enabled(api) else 1,
    )


def _metadata(world: World, apis: list[str]) -> Message:
    return plain(resources.OperationMetadata)(resource_names=[f"services/{api}/projects/{world.number}" for api in apis])
