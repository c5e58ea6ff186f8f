"""Cloud Resource Manager: the one project and its policy. Knows no other API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.cloud.resourcemanager_v3.types import projects as types

from gemmactl.sandbox.iam_methods import methods
from gemmactl.sandbox.routes import plain
from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import Behaviour, World


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
