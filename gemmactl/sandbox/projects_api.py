"""Cloud Resource Manager: the one project and its policy, as v3 and as the v1 that gcloud speaks. Knows no other API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from google.cloud.resourcemanager_v3.types import projects as types

from gemmactl.sandbox.gate import require_enabled
from gemmactl.sandbox.iam_methods import methods, over_http
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.wire import Request, Response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World

API: Final = "cloudresourcemanager.googleapis.com"
PATH_V1: Final = re.compile(r"/v1/(projects/[^/:]+)(?::(getIamPolicy|setIamPolicy|testIamPermissions))?")
"""No more of v1 than `gcloud projects describe` and `add-iam-policy-binding` ask for: the seed's own remedies."""


def behaviours() -> dict[str, Behaviour]:
    return {
        "resourcemanager_v3.Projects.GetProject": get_project,
        **methods("resourcemanager_v3.Projects", "resourcemanager.projects", require_project),
    }


def require_project(world: World, name: str) -> None:
    """Nothing, or the 403 that Google gives for a project that is not there: it does not tell which."""
    if "/".join(world.name(name).split("/")[:2]) != f"projects/{world.project}":
        raise failed("PERMISSION_DENIED", "The caller does not have permission")


def get_project(world: World, caller: str, request: Any) -> Any:
    name = world.name(request.name)
    require_project(world, name)
    world.iam.require(caller, "resourcemanager.projects.get", name)
    return plain(types.Project)(
        name=f"projects/{world.number}", project_id=world.project, display_name="gemmactl sandbox", state=1, etag='W/"sandbox"'
    )


def handle_v1(world: World, request: Request) -> Response:
    """The same project and policy in v1's form."""
    found = PATH_V1.fullmatch(request.path)
    verb = found[2] if found else None
    if not found or request.method != ("POST" if verb else "GET"):
        raise failed("NOT_FOUND", f"The sandbox has no route for {request.method} {request.path}")
    require_enabled(world, API)
    name = world.name(found[1])
    require_project(world, name)
    if verb:
        return over_http(world, request, name, verb, "resourcemanager.projects")
    world.iam.require(request.caller, "resourcemanager.projects.get", name)
    project = {"projectNumber": world.number, "projectId": world.project, "name": "gemmactl sandbox"}
    return json_response({**project, "lifecycleState": "ACTIVE"})
