"""What a run is made of, looked through: the rows as this base sees them, their tokens, the base. Refuses what no run can use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from finetune_image.contract import TuneFailed
from finetune_image.data.encode import Encoder
from finetune_image.data.tokens import Lengths, measure
from finetune_image.run import Wish
from gemmactl.errors import Trouble
from gemmactl.resources.local_model import LocalModel, read_folder
from gemmactl.result import Block, Item, Line, Marked
from gemmactl.serving.folder import Folders
from gemmactl.spec import Model
from gemmactl.tune.base_model import BaseModel
from gemmactl.tune.check_screen import clipped
from gemmactl.tune.data_source import Places
from gemmactl.tune.data_upload import PreparedData, resolve
from gemmactl.tune.failing import trouble
from gemmactl.tune.speaking import speaking
from inference_image.bases import fingerprint


@dataclass(frozen=True)
class Material:
    """`shown`: the first row as the model sees it; True: learned. `upload`: the base of a directory, where a bucket needs it."""

    base: BaseModel
    data: PreparedData
    lengths: Lengths
    shown: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...] = ()
    upload: LocalModel | None = None

    @property
    def sha256(self) -> str:
        """Of all data."""
        return self.data.train.sha256 + (f" {self.data.eval.sha256}" if self.data.eval else "")


def look_through(wish: Wish, model: Model, places: Places, folders: Folders) -> Material:
    """Rows first: they are read without opening the base.

    Raises:
        Trouble: (refused) a row that can't be used, a base that can't be trained, rows that this base can't learn from.
    """
    data = resolve(wish.data, places)
    spoken = speaking(model, folders)
    if spoken.base is None:
        raise spoken.unfit or _unknown(model)
    try:
        shown = Encoder(spoken.words, spoken.family).parts(data.split.train[0])
        lengths = measure(data.split.train, spoken.words, spoken.family, wish.train.max_length)
    except TuneFailed as failed:
        raise trouble(failed) from None
    return Material(spoken.base, data, lengths, tuple(shown), spoken.notes)


def to_bucket(made: Material, bucket: str) -> Material:
    """With a base of this machine as it will lie in a bucket: its content names its folder, as deploy's uploads are named.

    Raises:
        Trouble: (refused) the directory can't be read.
    """
    if made.base.model.kind != "dir":
        return made
    folder = Path(made.base.model.text)
    local = read_folder(folder)
    prefix = f"{folder.resolve().name}-{local.digest}"
    model = Model("gs", f"gs://{bucket}/{prefix}", bucket, prefix)
    files = {one.name: (one.size, one.crc32c) for one in local.files}
    return replace(made, upload=local, base=replace(made.base, model=model, fingerprint=fingerprint(files)))


def cautions(made: Material) -> Iterator[Block]:
    """What should be known before a spend, and a row with its learned part marked."""
    unseen = made.base.unseen
    for note in made.notes:
        yield Item("?", note, (unseen.what, unseen.remedy) if unseen else (), "warn")
    for note in made.data.split.notes:
        yield Line(note, "dim")
    if conflicts := made.data.train.rows.conflicts.count:
        yield Item("?", f"{conflicts:,} rows ask what an earlier one asks and answer otherwise", (), "warn")
    if made.lengths.lost:
        yield Item("?", f"{made.lengths.lost:,} rows lose their whole answer: raise --max-length", (), "warn")
    yield Marked(tuple(clipped(made.shown)), title="the first row as the model sees it (learned: what is marked)")


def _unknown(model: Model) -> Trouble:
    return Trouble(f"{model.uri} can't be looked at", why="nobody said why", remedy="gemmactl inspect it", code="base-unseen")
