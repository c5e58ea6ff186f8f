"""A model directory in a bucket: uploaded so that it is complete or visibly incomplete, resumed file by file. Knows no tensor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import ClassVar, Final

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources.cloud import Cloud, ObjectInfo
from gemmactl.resources.local_model import LocalFile, LocalModel, checksum
from inference_image.contract import CONFIG, INDEX, MANIFEST
from inference_image.pin import Pinned, Place, of_adapter, of_model

PARALLEL: Final = 4


@dataclass(frozen=True)
class ModelFiles(Resource):
    """`stale`: files of the directory that the bucket lacks or holds differently. The wish is: none."""

    kind: ClassVar[str] = "model_files"
    limit: ClassVar[float] = 6 * 3600.0
    lasting: ClassVar[str] = "models stay; remove the folder yourself when it is no longer needed"

    bucket: str
    prefix: str
    stale: tuple[str, ...] = ()
    model: LocalModel | None = field(default=None, compare=False, repr=False)
    after: tuple[str, ...] = field(default=(), compare=False)

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}"

    @property
    def approved(self) -> Place:
        """The files that a start reads, by size and checksum.

        Their generations are known only after the upload, and a plan must be the same before and after it. The folder is named by
        its content, too.
        """
        rows = (Pinned(one.name, 0, one.size, one.crc32c) for one in self._files if of_model(one.name) or of_adapter(one.name))
        return Place(self.uri, tuple(sorted(rows)))

    @property
    def address(self) -> str:
        return f"model files {self.uri}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def read(self, cloud: Cloud) -> ModelFiles | None:
        there = self._objects(cloud)
        if not there:
            return None
        stale = tuple(f.name for f in self._files if not _same(f, there.get(f.name)))
        return ModelFiles(self.bucket, self.prefix, stale)

    def create(self, cloud: Cloud, work: Work) -> None:
        self._upload(cloud, work)

    def update(self, cloud: Cloud, live: ModelFiles, work: Work) -> None:
        self._upload(cloud, work)

    def delete(self, cloud: Cloud, live: ModelFiles, work: Work) -> None:
        raise TypeError("models are never deleted")

    def diff_text(self, name: str, value: object) -> str:
        names = value if isinstance(value, tuple) else ()
        return f"{len(names)} of {len(self._files)} files missing or different" if names else "as in the directory"

    @property
    def _files(self) -> tuple[LocalFile, ...]:
        return self.model.files if self.model else ()

    def _objects(self, cloud: Cloud) -> dict[str, ObjectInfo]:
        return {o.name.removeprefix(f"{self.prefix}/"): o for o in cloud.storage.list(self.bucket, f"{self.prefix}/")}

    def _upload(self, cloud: Cloud, work: Work) -> None:
        there = self._objects(cloud)
        todo = [f for f in self._files if not _same(f, there.get(f.name))]
        total, missing = sum(f.size for f in self._files), sum(f.size for f in todo)
        voice = _Progress(work, len(self._files), total, total - missing)
        shards = [f for f in todo if f.name.endswith(".safetensors")]
        small = sorted(
            (f for f in todo if f not in shards), key=lambda f: (f.name == MANIFEST, f.name == CONFIG, f.name == INDEX)
        )
        with ThreadPoolExecutor(PARALLEL) as pool:
            for done in [pool.submit(self._put, cloud, f, there.get(f.name), voice) for f in shards]:
                done.result()
        # index and config late: a folder without config.json is recognised as unfinished by every reader; what says that all is
        # there comes last of all
        for file in small:
            self._put(cloud, file, there.get(file.name), voice)

    def _put(self, cloud: Cloud, file: LocalFile, old: ObjectInfo | None, voice: _Progress) -> None:
        if self.model is None:
            raise TypeError("model files without their directory can only be read")
        name, path = f"{self.prefix}/{file.name}", self.model.folder / file.name
        before = old.generation if old else 0
        try:
            new = cloud.storage.write(self.bucket, name, path, if_generation=before, progress=voice.of(file))
        except Trouble as trouble:
            raced = cloud.storage.stat(self.bucket, name) if trouble.facts.get("status") == 412 else None
            if not _same(file, raced):
                raise
            return
        if not _same(file, new):
            raise _changed(path)


@dataclass
class _Progress:
    """Bytes done over all files: one line for many threads."""

    work: Work
    count: int
    total: int
    base: int
    parts: dict[str, int] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def of(self, file: LocalFile) -> _Report:
        return _Report(self, file.name)

    def tell(self, name: str, done: int) -> None:
        with self.lock:
            self.parts[name] = done
            now = self.base + sum(self.parts.values())
        share = min(1.0, now / self.total) if self.total else 1.0
        self.work.progress(f"{now / 1e6:.1f} of {self.total / 1e6:.1f} MB in {self.count} files", share)


@dataclass(frozen=True)
class _Report:
    progress: _Progress
    name: str

    def __call__(self, done: int) -> None:
        self.progress.tell(self.name, done)


def _same(file: LocalFile, there: ObjectInfo | None) -> bool:
    return there is not None and there.size == file.size and there.crc32c == file.crc32c


def _changed(path: Path) -> Trouble:
    try:
        now = f"its checksum is now {checksum(path)}"
    except OSError as error:
        now = f"it can't be read any more: {error.strerror}"
    return Trouble(
        f"{path.name} changed while it was uploaded",
        why=now,
        remedy="wait until whatever writes the directory is done, then run the same command again",
        code="model-changed",
    )
