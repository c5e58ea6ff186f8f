"""The objects that a fine-tune starts from: its data, by content, and the document of its run. Knows no row and no trainer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from finetune_image.contract import RUN_FILE
from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources.cloud import Cloud

Settings = tuple[tuple[str, str], ...]

_NEXT: Final = "from the next attempt on"


@dataclass(frozen=True)
class DataFile(Resource):
    """A data file under its checksum: the same content is one object, and never changes."""

    kind: ClassVar[str] = "data_file"
    limit: ClassVar[float] = 6 * 3600.0
    lasting: ClassVar[str] = "data stays: runs refer to it by its checksum"

    bucket: str
    name: str
    """`gemmactl/data/SHA256/FILE`."""
    content: Path | bytes = field(default=b"", compare=False, repr=False)
    after: tuple[str, ...] = field(default=(), compare=False)

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.name}"

    @property
    def address(self) -> str:
        return f"data {self.uri}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def read(self, cloud: Cloud) -> DataFile | None:
        return self if cloud.storage.stat(self.bucket, self.name) else None

    def create(self, cloud: Cloud, work: Work) -> None:
        def tell(done: int) -> None:
            work.progress(f"{done / 1e6:.1f} MB")

        try:
            cloud.storage.write(self.bucket, self.name, self.content, if_generation=0, progress=tell)
        except Trouble as trouble:
            if trouble.facts.get("status") != 412:  # there by now: its name is its content
                raise

    def delete(self, cloud: Cloud, live: DataFile, work: Work) -> None:
        raise TypeError("data is never deleted")


@dataclass(frozen=True)
class RunDocument(Resource):
    """RUN_FILE of a run. `settings`: the wish, name by name; what decides the weights can't differ within one run id."""

    kind: ClassVar[str] = "run_document"
    lasting: ClassVar[str] = "what belongs to a run stays"

    bucket: str
    folder: str
    """`gemmactl/runs/NAME/RUN_ID`."""
    settings: Settings
    text: str = field(default="", compare=False, repr=False)
    after: tuple[str, ...] = field(default=(), compare=False)
    generation: int = field(default=0, compare=False, repr=False)

    @classmethod
    def of(cls, bucket: str, folder: str, text: str, after: tuple[str, ...] = ()) -> RunDocument:
        return cls(bucket, folder, settings_of(text), text, after)

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.folder}"

    @property
    def address(self) -> str:
        return f"run {self.uri}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def read(self, cloud: Cloud) -> RunDocument | None:
        found = cloud.storage.stat(self.bucket, self._name)
        content = cloud.storage.read(self.bucket, self._name, if_generation=found.generation) if found else None
        if found is None or content is None:
            return None
        text = content.decode("utf-8", "replace")
        return RunDocument(self.bucket, self.folder, settings_of(text), text, generation=found.generation)

    def create(self, cloud: Cloud, work: Work) -> None:
        self._write(cloud, 0)

    def update(self, cloud: Cloud, live: RunDocument, work: Work) -> None:
        self._write(cloud, live.generation)

    def delete(self, cloud: Cloud, live: RunDocument, work: Work) -> None:
        raise TypeError("a run is never deleted")

    def effect(self, name: str) -> str:
        return _NEXT

    def diff(self, name: str, live: Any, wanted: Any) -> tuple[tuple[str, str, str], ...]:
        was, now = dict(live), dict(wanted)
        keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
        return tuple((key, was.get(key, "not said"), now.get(key, "not said")) for key in keys)

    @property
    def _name(self) -> str:
        return f"{self.folder}/{RUN_FILE}"

    def _write(self, cloud: Cloud, before: int) -> None:
        try:
            cloud.storage.write(self.bucket, self._name, self.text.encode(), if_generation=before)
        except Trouble as trouble:
            now = self.read(cloud) if trouble.facts.get("status") == 412 else None
            if now is None or now.settings != self.settings:
                raise


def settings_of(text: str) -> Settings:
    """The wish, where the data is and what pins the base, of a document, flat; empty for what is no such document."""
    try:
        made = json.loads(text)
        files = {key: made[key]["uri"] for key in ("train", "eval") if made.get(key)}
        return tuple(sorted(_flat({**made["wish"], "files": files, "pins": made.get("pins") or {}})))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()


def _flat(made: Mapping[str, Any], part: str = "") -> Iterator[tuple[str, str]]:
    for key, value in made.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{part}{key}.")
        else:
            yield f"{part}{key}", json.dumps(value)
