"""Cloud Storage buckets: one for build contexts (temporary), one for models (lasting). Knows no object in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import mark
from gemmactl.resources.cloud import BucketInfo, Cloud


@dataclass(frozen=True)
class Bucket(Resource):
    """A private bucket: uniform access, public access prevented."""

    kind: ClassVar[str] = "bucket"
    fixed: ClassVar[frozenset[str]] = frozenset({"location"})

    name: str
    location: str | None
    uniform_access: bool = True
    public_access_prevention: bool = True
    delete_after_days: int | None = None
    kms_key: str | None = None
    """What new objects are encrypted with; those that are there keep their key."""
    labels: mark.Pairs = mark.OURS
    after: tuple[str, ...] = field(default=(), compare=False)
    all_labels: mark.Pairs = field(default=(), compare=False)

    @property
    def address(self) -> str:
        return f"bucket {self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    @property
    def explain_fixed(self) -> str:
        return f"a bucket can't move: use the region it is in, or remove gs://{self.name} first"

    def read(self, cloud: Cloud) -> Bucket | None:
        info = cloud.storage.bucket(self.name)
        if info is None:
            return None
        return type(self)(
            self.name,
            info.location.lower(),
            info.uniform_access,
            info.public_access_prevention,
            info.delete_after_days,
            info.kms_key,
            mark.wished(self.labels, info.labels),
            all_labels=tuple(sorted(info.labels.items())),
        )

    def create(self, cloud: Cloud, work: Work) -> None:
        cloud.storage.create_bucket(self._info({}))

    def update(self, cloud: Cloud, live: Bucket, work: Work) -> None:
        cloud.storage.update_bucket(self._info(dict(live.all_labels), live.delete_after_days, live.kms_key or ""))

    def delete(self, cloud: Cloud, live: Bucket, work: Work) -> None:
        cloud.storage.delete_bucket(self.name)

    def ours(self, cloud: Cloud, live: Bucket) -> bool:
        return mark.marked(dict(live.all_labels))

    def diff_text(self, name: str, value: object) -> str:
        if name == "labels" and isinstance(value, tuple):
            return ", ".join(f"{k}={v}" for k, v in value) or "none"
        return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)

    def _info(self, labels: dict[str, str], days: int | None = None, key: str = "") -> BucketInfo:
        return BucketInfo(
            self.name,
            self.location or "us",
            self.uniform_access,
            self.public_access_prevention,
            mark.merged(labels, self.labels),
            self.delete_after_days if self.delete_after_days is not None else days,
            kms_key=key if self.kms_key is None else self.kms_key,
        )


@dataclass(frozen=True)
class BuildBucket(Bucket):
    """Holds uploaded build contexts for a while."""


@dataclass(frozen=True)
class ModelBucket(Bucket):
    """Holds models: worth more than anything else of the stack, so it goes with `destroy --all` alone."""

    lasting: ClassVar[str] = "it holds models; remove it yourself when they are no longer needed"


def elsewhere(name: str, trouble: Trouble) -> BucketInfo | None:
    """Where a bucket of another project is, as the refusal itself tells: it may hold weights all the same. None: not told."""
    location = str(trouble.facts.get("location") or "")
    if trouble.code != "bucket-of-another-project" or not location:
        return None
    return BucketInfo(name, location, pair=tuple(trouble.facts.get("pair") or ()))
