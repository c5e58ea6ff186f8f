"""Resource Manager: the project's number. Knows no policy."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.gcp.wire import TIMEOUT, Wire

API: Final = "cloudresourcemanager.googleapis.com"


class Projects:
    """What a project is called beside its id."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._client = wire.client(_client)

    def number(self) -> str:
        """The project's number."""
        request = {"name": f"projects/{self._wire.project}"}
        doing = f"project {self._wire.project}"
        found = self._wire.read(API, doing, lambda: self._client().get_project(request=request, retry=None, timeout=TIMEOUT))
        return str(found.name.rpartition("/")[2])


def _client() -> Any:
    from google.cloud.resourcemanager_v3 import ProjectsClient

    return ProjectsClient
