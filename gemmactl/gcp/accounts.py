"""Service accounts. The IAM admin client has no REST transport, so this is plain REST."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.gcp.wire import Wire
from gemmactl.resources.cloud import Account
from gemmactl.resources.service_account import project_of

API: Final = "iam.googleapis.com"


class ServiceAccounts:
    """Implements `cloud.Accounts`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._path = f"/v1/projects/{wire.project}/serviceAccounts"

    def get(self, email: str) -> Account | None:
        path = f"/v1/projects/{project_of(email)}/serviceAccounts/{email}"
        found = self._wire.find(API, f"service account {email}", lambda: self._wire.rest(API, "GET", path))
        return _account(found) if found else None

    def create(self, account_id: str, display_name: str, description: str) -> Account:
        words = {"displayName": display_name, "description": description}
        body = {"accountId": account_id, "serviceAccount": {k: v for k, v in words.items() if v}}
        doing = f"making service account {account_id}"
        return _account(self._wire.send(API, doing, lambda: self._wire.rest(API, "POST", self._path, body=body)))

    def delete(self, email: str) -> None:
        doing = f"deleting service account {email}"
        self._wire.gone(API, doing, lambda: self._wire.rest(API, "DELETE", f"{self._path}/{email}"))


def _account(found: dict[str, Any]) -> Account:
    return Account(
        found.get("email", ""), found.get("displayName", ""), found.get("description", ""), bool(found.get("disabled", False))
    )
