"""Secret Manager: secrets and their versions. A value goes in, checksummed; out comes what `read` is asked for alone."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import Flaw, Labels, flaw_of

API: Final = "secretmanager.googleapis.com"
CONFLICTS: Final = 5


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

    def kms_key(self, name: str) -> str:
        found = self._wire.find(API, _short(name), lambda: self._call("get_secret", {"name": name}))
        replicas = found.replication.user_managed.replicas if found is not None else ()
        return str(next((r.customer_managed_encryption.kms_key_name for r in replicas), ""))

    def create(self, name: str, location: str, labels: Labels, kms_key: str = "") -> None:
        # in the service's own region: organisations with a location policy forbid the automatic kind
        key = {"customer_managed_encryption": {"kms_key_name": kms_key}} if kms_key else {}
        replicas = {"user_managed": {"replicas": [{"location": location, **key}]}} if location else {"automatic": key}
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

    def read(self, name: str, version: str) -> bytes | None:
        request = {"name": f"{name}/versions/{version}"}
        found = self._wire.find(API, f"version {version} of {_short(name)}", lambda: self._call("access_secret_version", request))
        return None if found is None else bytes(found.payload.data)

    def flaw(self, name: str, version: str) -> Flaw | None:
        value = self.read(name, version)
        return None if value is None else flaw_of(value)

    def relabel(self, name: str, key: str, was: str | None, now: str) -> bool:
        doing = f"labelling {_short(name)}"
        for _ in range(CONFLICTS):
            kept = self._wire.read(API, _short(name), lambda: self._call("get_secret", {"name": name}))
            labels = dict(kept.labels)
            if labels.get(key) != was:
                return False
            secret = {"name": name, "labels": {**labels, key: now}, "etag": kept.etag}
            request = {"secret": secret, "update_mask": {"paths": ["labels"]}}
            try:
                self._wire.send(API, doing, lambda: self._call("update_secret", request))  # noqa: B023 - called at once
            except Trouble as trouble:
                if not _outdated(trouble):
                    raise
            else:
                return True
        return False

    def destroy_version(self, name: str, version: str) -> None:
        request = {"name": f"{name}/versions/{version}"}
        doing = f"destroying version {version} of {_short(name)}"
        try:
            self._wire.gone(API, doing, lambda: self._call("destroy_secret_version", request))
        except Trouble as trouble:
            if self.version_state(name, version) != "DESTROYED":
                raise trouble from None

    def delete(self, name: str) -> None:
        self._added.pop(name, None)
        self._wire.gone(API, f"deleting {_short(name)}", lambda: self._call("delete_secret", {"name": name}))

    def _call(self, method: str, request: Any) -> Any:
        return getattr(self._client(), method)(request=request, retry=None, timeout=TIMEOUT)


def _outdated(trouble: Trouble) -> bool:
    """Whether somebody else wrote since the etag was read; the API's page says only that it "must match"."""
    return trouble.facts.get("status") in (409, 412) or "etag" in str(trouble.facts.get("message", "")).lower()


def _short(name: str) -> str:
    return f"secret {name.rpartition('/')[2]}"


def _client() -> Any:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    return SecretManagerServiceClient
