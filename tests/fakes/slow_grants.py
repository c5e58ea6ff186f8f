"""Grants that other APIs see only after a while, as IAM's do: who may not yet do what he was granted. Knows no client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gemmactl.resources.cloud import Json, LogEntry, PolicyTarget


@dataclass
class SlowGrants:
    """A grant on a thing takes `delay` seconds of `now`. What was never granted is none of its business."""

    delay: Callable[[PolicyTarget], float]
    now: Callable[[], float]
    since: dict[tuple[PolicyTarget, str, str], float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """What was refused so far."""

    def granted(self, target: PolicyTarget, role: str, member: str) -> None:
        self.since.setdefault((target, role, member), self.now())

    def _early(self, kind: str, name: str, email: str) -> bool:
        """Whether a role of this account on that thing is on its way."""
        return any(
            (target.kind, target.name, member) == (kind, name, f"serviceAccount:{email}") and self.now() < at + self.delay(target)
            for (target, _, member), at in self.since.items()
        )

    def _told(self, text: str) -> str:
        self.refused.append(text)
        return text

    def source(self, build: Json) -> str:
        """What Cloud Build says to a build whose account can't read its source yet, or nothing."""
        account, bucket = build["serviceAccount"].rpartition("/")[2], build["source"]["storageSource"]["bucket"]
        if not self._early("bucket", bucket, account):
            return ""
        denied = f"{account} does not have storage.objects.get access to the Google Cloud Storage object."
        return self._told(f"could not resolve source: googleapi: Error 403: {denied}")

    def push(self, build: Json) -> str:
        """What the push of a build's image is told, or nothing."""
        account = build["serviceAccount"].rpartition("/")[2]
        host, project, repository = build["images"][0].split("/")[:3]
        name = f"projects/{project}/locations/{host.removesuffix('-docker.pkg.dev')}/repositories/{repository}"
        if not self._early("repository", name, account):
            return ""
        return self._told(f'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "{name}"')

    def start(self, service: str, template: Json, logs: list[tuple[str, LogEntry]], revision: str) -> str:
        """Why a revision does not become ready, or nothing; its container's own words go into the log."""
        account = template["serviceAccount"]
        for container in template["containers"]:
            for env in container.get("env", []):
                secret = env.get("valueSource", {}).get("secretKeyRef", {}).get("secret", "")
                full = secret if "/" in secret else f"{service.partition('/locations/')[0]}/secrets/{secret}"
                if secret and self._early("secret", full, account):
                    return self._told(f"Permission denied on secret: {full}/versions/1 for Revision service account {account}.")
            for bucket in _buckets(container):
                if self._early("bucket", bucket, account):
                    denied = f"{account} does not have storage.objects.get access to the Google Cloud Storage object."
                    payload = {"load_failed": {"code": "access_denied", "object": f"gs://{bucket}", "detail": f"403: {denied}"}}
                    logs.append((revision, LogEntry("2026-11-22T12:00:00Z", "ERROR", payload, revision)))
                    return self._told("The user-provided container failed the configured startup probe checks.")
        return ""


def _buckets(container: Json) -> Iterator[str]:
    texts: list[Any] = [env.get("value", "") for env in container.get("env", [])]
    yield from (text.split("/")[2] for text in texts if text.startswith("gs://"))
