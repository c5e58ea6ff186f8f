"""Secret Manager: secrets and their versions. A value goes in, checksummed; none ever comes out."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import Labels

API: Final = "secretmanager.googleapis.com"


class SecretManager:
    """Implements `cloud.Secrets`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._client = wire.client(_client)
        self._added: dict[str, int] = {}
        """Newest version added by this process: a list may lag behind for minutes (Secret Manager, "consistency")."""

    def get(self, name: str) -> Labels | None:
        found = self._wire.find(API, _short(name), lambda: self._call("get_secret", {"name": name}))
        return None if found is None else dict(found.labels)

    def create(self, name: str, location: str, labels: Labels) -> None:
        # in the service's own region: organisations with a location policy forbid the automatic kind
        replicas = {"user_managed": {"replicas": [{"location": location}]}} if location else {"automatic": {}}
        parent, _, short = name.partition("/secrets/")
        request = {"parent": parent, "secret_id": short, "secret": {"replication": replicas, "labels": dict(labels)}}
        self._wire.send(API, f"making {_short(name)}", lambda: self._call("create_secret", request))

    def add_version(self, name: str, value: bytes) -> str:
        import google_crc32c

        payload = {"data": value, "data_crc32c": google_crc32c.value(value)}
        doing = f"filling {_short(name)}"
        made = self._wire.send(API, doing, lambda: self._call("add_secret_version", {"parent": name, "payload": payload}))
        number = str(made.name.rpartition("/")[2])
        self._added[name] = int(number)
        return number

    def newest_version(self, name: str) -> str | None:
        def ask() -> list[int]:
            found = self._call("list_secret_versions", {"parent": name, "filter": "state:ENABLED"})
            return [int(v.name.rpartition("/")[2]) for v in found if v.state.name == "ENABLED"]

        numbers = self._wire.find(API, f"versions of {_short(name)}", ask)
        known = [*(numbers or ()), *([self._added[name]] if name in self._added else ())]
        return str(max(known)) if known else None

    def version_state(self, name: str, version: str) -> str | None:
        request = {"name": f"{name}/versions/{version}"}
        found = self._wire.find(API, f"version {version} of {_short(name)}", lambda: self._call("get_secret_version", request))
        return None if found is None else str(found.state.name)

    def delete(self, name: str) -> None:
        self._added.pop(name, None)
        self._wire.gone(API, f"deleting {_short(name)}", lambda: self._call("delete_secret", {"name": name}))

    def _call(self, method: str, request: Any) -> Any:
        return getattr(self._client(), method)(request=request, retry=None, timeout=TIMEOUT)


def _short(name: str) -> str:
    return f"secret {name.rpartition('/')[2]}"


def _client() -> Any:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    return SecretManagerServiceClient
