"""The Google APIs that a stack calls: enabled when missing, never disabled. Knows nothing of what one does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources.cloud import Cloud

ADDRESS = "apis"
KNOWN: Final = frozenset(
    f"{name}.googleapis.com"
    for name in (
        "artifactregistry",
        "cloudbilling",
        "cloudbuild",
        "cloudkms",
        "cloudquotas",
        "cloudresourcemanager",
        "compute",
        "iam",
        "logging",
        "orgpolicy",
        "run",
        "secretmanager",
        "storage",
    )
)
"""All that a deploy may enable, for itself or for its checks. Names in an API's answer are taken only if they are here."""


@dataclass(frozen=True)
class Apis(Resource):
    """One set of APIs of the project."""

    kind: ClassVar[str] = "apis"
    settles: ClassVar[bool] = True
    by_others: ClassVar[bool] = True
    limit: ClassVar[float] = 600.0
    lasting: ClassVar[str] = "enabled APIs cost nothing, and others may use them by now"

    names: tuple[str, ...]
    after: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(sorted(set(self.names))))

    @property
    def address(self) -> str:
        return ADDRESS

    def read(self, cloud: Cloud) -> Apis | None:
        found = cloud.apis.enabled(self.names)
        return Apis(tuple(found)) if found else None

    def create(self, cloud: Cloud, work: Work) -> None:
        self._enable(cloud, work, self.names)

    def update(self, cloud: Cloud, live: Apis, work: Work) -> None:
        self._enable(cloud, work, tuple(n for n in self.names if n not in live.names))

    def delete(self, cloud: Cloud, live: Apis, work: Work) -> None:
        raise TypeError("enabled APIs are never disabled")

    def cures(self, trouble: Trouble) -> bool:
        """An API that is enabled and calls itself disabled."""
        return trouble.facts.get("reason") == "SERVICE_DISABLED" and trouble.facts.get("service") in self.names

    def diff(self, name: str, live: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
        missing = (str(n).removesuffix(".googleapis.com") for n in wanted if n not in live)
        return (("enabled", f"{len(live)} of {len(wanted)}", f"also {', '.join(missing)}"),)

    @staticmethod
    def _enable(cloud: Cloud, work: Work, names: tuple[str, ...]) -> None:
        work.progress(f"enabling {len(names)} API{'s' if len(names) != 1 else ''}")
        cloud.apis.enable(names)
