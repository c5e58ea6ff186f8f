"""The Artifact Registry repository of our images, with a clean-up policy so that old ones don't cost. Knows no image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import mark
from gemmactl.resources.cloud import Cloud, RepositoryInfo

KEEP: Final = 10
"""Newest versions of each image that stay, however old: a new one comes with each version of gemmactl, not with each deploy."""
DAYS: Final = 90
"""Older ones go. Artifact Registry does not know which of them a revision runs: one that serves has Cloud Run's own copy, one
that a rollback could go back to is safe while it is young or among the newest."""


@dataclass(frozen=True)
class Repository(Resource):
    """A Docker repository in one region."""

    kind: ClassVar[str] = "repository"
    by_others: ClassVar[bool] = True
    fixed: ClassVar[frozenset[str]] = frozenset({"format", "kms_key"})

    project: str
    region: str
    name: str
    format: str = "DOCKER"
    keep_newest: int | None = KEEP
    delete_after_days: int | None = DAYS
    kms_key: str | None = None
    labels: mark.Pairs = mark.OURS
    after: tuple[str, ...] = field(default=(), compare=False)
    all_labels: mark.Pairs = field(default=(), compare=False)
    size: int | None = field(default=None, compare=False)
    """Bytes of all that lies in a live one; None: not told."""

    @property
    def full_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/repositories/{self.name}"

    @property
    def address(self) -> str:
        return f"repository {self.region}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    @property
    def explain_fixed(self) -> str:
        remove = f"gcloud artifacts repositories delete {self.name} --location={self.region} --project={self.project}"
        if self.kms_key is not None:
            return f"it keeps its key for life: leave --kms-key out, or remove it, and its images are built again: {remove}"
        return f"it is there for something else than images: when nobody needs what is in it, {remove}"

    @property
    def remark(self) -> str:
        if self.delete_after_days is None:
            return ""
        kept = f", but for the newest {self.keep_newest} of each name" if self.keep_newest else ""
        return f"images older than {self.delete_after_days} days are deleted{kept}"

    def read(self, cloud: Cloud) -> Repository | None:
        info = cloud.repositories.get(self.full_name)
        if info is None:
            return None
        return Repository(
            self.project,
            self.region,
            self.name,
            info.format,
            info.keep_newest,
            info.delete_after_days,
            info.kms_key,
            mark.wished(self.labels, info.labels),
            all_labels=tuple(sorted(info.labels.items())),
            size=info.size,
        )

    def create(self, cloud: Cloud, work: Work) -> None:
        cloud.repositories.create(self._info({}))

    def update(self, cloud: Cloud, live: Repository, work: Work) -> None:
        cloud.repositories.update(self._info(dict(live.all_labels)))

    def delete(self, cloud: Cloud, live: Repository, work: Work) -> None:
        cloud.repositories.delete(self.full_name)

    def ours(self, cloud: Cloud, live: Repository) -> bool:
        return mark.marked(dict(live.all_labels))

    def diff_text(self, name: str, value: object) -> str:
        if name == "labels" and isinstance(value, tuple):
            return ", ".join(f"{k}={v}" for k, v in value) or "none"
        return "not set" if value is None else str(value)

    def _info(self, labels: dict[str, str]) -> RepositoryInfo:
        return RepositoryInfo(
            self.full_name,
            self.format,
            mark.merged(labels, self.labels),
            self.keep_newest,
            self.delete_after_days,
            self.kms_key or "",
        )
