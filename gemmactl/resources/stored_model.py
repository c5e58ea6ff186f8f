"""A folder in the bucket of ours, a model's or that of runs, as something to be removed: only a destroy has it in a plan."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar, Final

from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources.cloud import Cloud
from gemmactl.spec import Model

PARALLEL: Final = 4


@dataclass(frozen=True)
class StoredModel(Resource):
    """Everything under a prefix, which is never empty: that would be the whole bucket."""

    kind: ClassVar[str] = "stored_model"
    limit: ClassVar[float] = 1800.0

    bucket: str
    prefix: str
    after: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.prefix.strip("/"):
            raise ValueError("a folder without a name is the whole bucket")

    @property
    def address(self) -> str:
        return f"model gs://{self.bucket}/{self.prefix}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def read(self, cloud: Cloud) -> StoredModel | None:
        return self if cloud.storage.list(self.bucket, f"{self.prefix}/", most=1) else None

    def create(self, cloud: Cloud, work: Work) -> None:
        raise TypeError("a stored model is only ever removed")

    def delete(self, cloud: Cloud, live: StoredModel, work: Work) -> None:
        """The manifest and the config first: what is left of an interrupted one is no model any more to any reader."""
        names = [found.name for found in cloud.storage.list(self.bucket, f"{self.prefix}/")]
        names.sort(key=lambda name: name.endswith(".safetensors"))
        small = [name for name in names if not name.endswith(".safetensors")]
        for name in small:
            cloud.storage.delete(self.bucket, name)
        with ThreadPoolExecutor(PARALLEL) as pool:
            for done in [pool.submit(cloud.storage.delete, self.bucket, name) for name in names[len(small) :]]:
                done.result()
        work.progress(f"{len(names)} files removed")


@dataclass(frozen=True)
class StoredRuns(StoredModel):
    """The folders of a fine-tune's runs: checkpoints, metrics, attempts. Models and data lie elsewhere."""

    kind: ClassVar[str] = "stored_runs"

    @property
    def address(self) -> str:
        return f"runs gs://{self.bucket}/{self.prefix}"


def stored(bucket: str, models: Iterable[Model]) -> tuple[StoredModel, ...]:
    """Those of the models that are folders of this bucket."""
    prefixes = sorted({model.prefix for model in models if model.kind == "gs" and model.bucket == bucket and model.prefix})
    return tuple(StoredModel(bucket, prefix, after=(f"bucket {bucket}",)) for prefix in prefixes)
