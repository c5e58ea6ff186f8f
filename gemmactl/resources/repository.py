"""The Artifact Registry repository of our images, with a clean-up policy so that old ones don't cost. Knows no image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import mark
from gemmactl.resources.cloud import Cloud, RepositoryInfo


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
    keep_newest: int | None = 5
    delete_untagged_after_days: int | None = 7
    kms_key: str | None = None
    labels: mark.Pairs = mark.OURS
    after: tuple[str, ...] = field(default=(), compare=False)
    all_labels: mark.Pairs = field(default=(), compare=False)

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
        if self.kms_key is not None:
            return f"{self.name} keeps its key for life: remove it (its images are built again), or leave --kms-key out"
        return f"{self.name} is a repository for something else than images: rename or remove it"

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
            info.delete_untagged_after_days,
            info.kms_key,
            mark.wished(self.labels, info.labels),
            all_labels=tuple(sorted(info.labels.items())),
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
            self.delete_untagged_after_days,
            self.kms_key or "",
        )
