"""The project itself: number, state, whether it is billed. Knows no policy."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.gcp.once import Once
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.surroundings import ProjectInfo

API: Final = "cloudresourcemanager.googleapis.com"
BILLING: Final = "cloudbilling.googleapis.com"


class Projects:
    """Implements `cloud.Projects`. A project is asked for once: neither number nor state changes under a command."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._client = wire.client(_client)
        self._asked: Once[ProjectInfo] = Once(self._ask, asks=True)

    def number(self) -> str:
        """The project's number."""
        return self._asked().number

    def info(self) -> ProjectInfo | None:
        try:
            return self._asked()
        except Trouble as trouble:
            if trouble.facts.get("status") == 404:
                return None
            raise

    def billed(self) -> bool:
        path = f"/v1/projects/{self._wire.project}/billingInfo"
        doing = f"the billing of project {self._wire.project}"
        found = self._wire.read(BILLING, doing, lambda: self._wire.rest(BILLING, "GET", path))
        return bool(found.get("billingEnabled", False))

    def _ask(self) -> ProjectInfo:
        request = {"name": f"projects/{self._wire.project}"}
        doing = f"project {self._wire.project}"
        found = self._wire.read(API, doing, lambda: self._client().get_project(request=request, retry=None, timeout=TIMEOUT))
        return ProjectInfo(str(found.name.rpartition("/")[2]), found.state.name)


def _client() -> Any:
    from google.cloud.resourcemanager_v3 import ProjectsClient

    return ProjectsClient
