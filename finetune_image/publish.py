"""Owns how a result becomes a published model and adapter: in which order, never twice, whole or not there. Knows no trainer.

A folder of MODELS or ADAPTERS gets its lineage first and its manifest last. Readers refuse one with the first and without the
second (inference_image.published), so what is under way is never served. Every object is made as one that is not
there yet; the same call, at any moment after any kill, goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from finetune_image import contract, manifest, report
from finetune_image.contract import Code, Kind, TuneFailed
from finetune_image.figures import Figures
from finetune_image.lineage import document, fingerprint, lineage, versions
from finetune_image.manifest import Record, Sum
from finetune_image.merge import merged
from finetune_image.merge_plan import as_tune_failed, plan, whole
from finetune_image.run import Run
from finetune_image.store import ABSENT, Bytes, Clash, Store
from inference_image.chunks import Object, Source
from inference_image.contract import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    FINGERPRINT,
    INDEX,
    LINEAGE,
    MANIFEST,
    OVERRIDES,
    PRESETS,
    REPORT,
)

Tell = Callable[..., Any]
"""`tell(Kind, **fields)`: a line of METRICS."""
Measure = Callable[[Store], float]
"""The held-out loss of the merged weights in a folder that has everything but its manifest."""

WORSE: Final = 1.01
"""Times the adapter's held-out loss that the merged weights may have. An NF4 adapter on a bfloat16 base: 1.0003, measured."""
SLACK: Final = 0.005
"""Nats above it that are none: rounding to bfloat16 is seen where the rows are known by heart, at a loss of nearly nothing."""
_SMALL: Final = (".json", ".jinja", ".model", ".txt")
_TERMS: Final = ("LICENSE", "NOTICE")
_SMALL_LIMIT: Final = 64 << 20
_BESIDE: Final = (OVERRIDES, PRESETS)
"""What gemmactl wrote beside the base that decides how it answers: it holds for its children."""
_MOVES: Final = 5


@dataclass(frozen=True)
class Published:
    """Exact places, with the run's id; empty for what was not wished. `merged_loss`: None where nobody measured it."""

    model: str
    adapter: str
    merged_loss: float | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def publish(
    run: Run, root: Store, base: Source, adapter: Path, figures: Figures, *, tell: Tell = lambda *_, **__: None,
    measure: Measure | None = None, near: Store | None = None, libraries: Mapping[str, str] | None = None,
) -> Published:  # fmt: skip
    """Publish the adapter's folder, and it merged into the base. `root`: the run's bucket.

    `near`: the base as a Store: shards that stay as they are are copied by the place itself, if it can. `libraries`: versions
    for the lineage; default: of those installed.

    Raises:
        TuneFailed: (publish_clash) an object is there with other bytes; (merge_inexact) see merge_plan, or the merged weights are
            worse than the adapter; (model_invalid) the base is not the one that the run was made for; what the places raise.
    """
    origin = lineage(run, versions() if libraries is None else libraries)
    where = f"{run.wish.name}/{run.run_id}"
    adapters, models = (root.at(f"{place}/{where}") for place in (contract.ADAPTERS, contract.MODELS))
    wished = run.wish.output
    loss = None
    if wished.adapter:
        tell(Kind.PHASE, phase="publishing", text=f"adapter to {adapters.uri}")
        _adapter(_Folder(adapters, run), adapter, figures, origin)
    if wished.merged:
        loss = _model(_Folder(models, run, near), base, adapter, figures, origin, tell, measure)
    for place, there in ((contract.ADAPTERS, wished.adapter), (contract.MODELS, wished.merged)):
        if there:
            _move_latest(root.at(f"{place}/{run.wish.name}"), run.run_id)
    return Published(models.uri if wished.merged else "", adapters.uri if wished.adapter else "", loss)


class _Folder:
    """One folder that is published: what was put there in this call, or found to be the same."""

    def __init__(self, store: Store, run: Run, near: Store | None = None) -> None:
        self.store = store
        self._run, self._near = run, near
        self.records: dict[str, Record] = {}

    def published(self) -> bool:
        """Whether its manifest is there. Raises TuneFailed(publish_clash) when the folder is not what that says."""
        data = self.store.read(MANIFEST)
        if data is None:
            return False
        try:
            said = manifest.stated(data)
        except ValueError as error:
            raise _clash(self.store, MANIFEST, str(error)) from None
        there = {held.name: (held.size, held.crc32c) for held in self.store.list()}
        for name, sums in said.items():
            if there.get(name) != sums:
                raise _clash(self.store, name, "it is not what the manifest says" if name in there else "it is gone")
        return True

    def put(self, name: str, data: bytes, version: str = "", *, first_stays: bool = False) -> None:
        """A small file. `first_stays`: one of another attempt is as good."""
        record = manifest.record_of(data, version)
        try:
            self.store.write(name, data, only_if=ABSENT)
        except Clash:
            there = self.store.read(name) if first_stays else None
            if there is None:
                self._same(name, record)
            else:
                record = manifest.record_of(there)
        self.records[name] = record

    def pour(self, name: str, size: int, chunks: Callable[[], Iterable[Bytes]], twin: str = "") -> None:
        """A large file. One that is there is compared with what would have been written: nothing is sent twice.

        `twin`: an object of the base with the same bytes.
        """
        passing = Sum()
        there = self.store.stat(name) is not None
        if not there and twin and self._near is not None:
            with suppress(Clash, FileNotFoundError):
                there = self.store.copy(self._near, twin, name, only_if=ABSENT) is not None
        if not there:
            try:
                self.store.pour(name, size, passing.passing(chunks()), only_if=ABSENT)
            except Clash:  # another attempt was there first
                there = True
        if there:
            passing = Sum()
            for chunk in chunks():
                passing.add(chunk)
            self._same(name, passing.record())
        self.records[name] = passing.record()

    def close(self, source: str) -> None:
        """The manifest, over everything that was put here."""
        text = manifest.text(source, self._run.made_by, self.records).encode()
        try:
            self.store.write(MANIFEST, text, only_if=ABSENT)
        except Clash:
            self._same(MANIFEST, manifest.record_of(text))

    def _same(self, name: str, record: Record) -> None:
        held = self.store.stat(name)
        if held is None or (held.size, held.crc32c) != (record.size, record.crc32c):
            raise _clash(self.store, name, "it holds other bytes than this run makes")


def _clash(store: Store, name: str, detail: str) -> TuneFailed:
    return TuneFailed(
        Code.PUBLISH_CLASH, f"{store.uri}/{name}", f"{detail}; nothing that is published is ever overwritten",
        "start it again under another identity: gemmactl finetune run with --again",
    )  # fmt: skip


def _adapter(folder: _Folder, adapter: Path, figures: Figures, origin: Mapping[str, Any]) -> None:
    if folder.published():
        return
    folder.put(LINEAGE, document(origin))
    path = adapter / ADAPTER_WEIGHTS
    folder.pour(ADAPTER_WEIGHTS, path.stat().st_size, lambda: _read(path))
    folder.put(ADAPTER_CONFIG, (adapter / ADAPTER_CONFIG).read_bytes())
    weights = folder.records[ADAPTER_WEIGHTS]
    prints = fingerprint(weights.sha256, {ADAPTER_WEIGHTS: weights})
    folder.put(FINGERPRINT, document(prints))
    _told(folder, figures, origin, prints, None)
    folder.close(folder.store.uri)


def _model(folder: _Folder, base: Source, adapter: Path, figures: Figures, origin: Mapping[str, Any], tell: Tell,
           measure: Measure | None) -> float | None:  # fmt: skip
    """The merged loss, where it was measured in this call."""
    if folder.published():
        return None
    made = plan(base, adapter, origin["settings"]["output"]["shard"])
    with as_tune_failed():
        objects = base.list()
    _pinned(objects, origin["base"]["generations"])
    folder.put(LINEAGE, document(origin))
    for number, shard in enumerate(made.shards, 1):
        tell(Kind.PHASE, phase="merging", text=f"{shard.name}, {number} of {len(made.shards)}")
        folder.pour(shard.name, shard.size, partial(merged, made, shard), shard.twin.name if shard.twin else "")
    weights = dict(folder.records)
    weights.pop(LINEAGE)
    tell(Kind.PHASE, phase="publishing", text=f"model to {folder.store.uri}")
    with as_tune_failed():
        for one in sorted(objects, key=lambda one: (one.name == CONFIG, one.name)):
            if _kept(one):
                folder.put(one.name, whole(base, one), one.generation)
        if made.index is not None:
            folder.put(INDEX, made.index)
    loss = measure(folder.store) if measure else None
    if loss is not None and figures.loss is not None and not loss <= max(figures.loss * WORSE, figures.loss + SLACK):
        raise TuneFailed(Code.MERGE_INEXACT, folder.store.uri,
                         f"the merged weights have a held-out loss of {loss:.4f}, the adapter {figures.loss:.4f}",
                         "serve the adapter over its base", "train without quantize: nf4")  # fmt: skip
    sums = Sum()
    for chunk in _read(adapter / ADAPTER_WEIGHTS):
        sums.add(chunk)
    prints = fingerprint(sums.record().sha256, weights)
    folder.put(FINGERPRINT, document(prints))
    _told(folder, figures, origin, prints, loss)
    folder.close(folder.store.uri)
    return loss


def _told(folder: _Folder, figures: Figures, origin: Mapping[str, Any], prints: Mapping[str, Any], loss: float | None) -> None:
    """The report and its picture: an earlier attempt's are as good, whatever else it measured."""
    picture = report.curve(figures)
    if picture is not None:
        folder.put(contract.CURVE, picture, first_stays=True)
    text = report.markdown(figures, origin, prints, merged_loss=loss, picture=picture is not None)
    folder.put(REPORT, text.encode(), first_stays=True)


def _kept(one: Object) -> bool:
    """Whether a file of the base goes with the merged weights, byte for byte: all but the weights and the index over them."""
    if one.name in _BESIDE:
        return True
    plain = "/" not in one.name and not one.name.startswith(".") and one.name not in (INDEX, ADAPTER_CONFIG)
    return plain and one.size <= _SMALL_LIMIT and one.name.endswith(_SMALL) | one.name.startswith(_TERMS)


def _pinned(objects: Iterable[Object], pins: Mapping[str, str]) -> None:
    """Raises TuneFailed(model_invalid): a file of the base is not the one that was trained on."""
    now = {one.name: one.generation for one in objects}
    for name, generation in pins.items():
        if now.get(name, generation) != generation:
            raise TuneFailed(Code.MODEL_INVALID, name, "the base was changed since the run was made: it can't be merged into",
                             "start it again: gemmactl finetune run")  # fmt: skip


def _read(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(8 << 20):
            yield chunk


def _move_latest(store: Store, run_id: str) -> None:
    """Let a name stand for this run, unless it was moved since this run's manifest was written: somebody is newer."""
    done = store.stat(f"{run_id}/{MANIFEST}")
    for _ in range(_MOVES):
        held = store.stat(contract.LATEST)
        if held is not None and (
            _said(store) == run_id or (done is not None and _time(held.generation) > _time(done.generation))
        ):
            return
        with suppress(Clash):
            store.write(contract.LATEST, f"{run_id}\n".encode(), only_if=held.generation if held else ABSENT)
            return
    raise TuneFailed(Code.NETWORK_FAILED, f"{store.uri}/{contract.LATEST}", "others move it all the time")


def _said(store: Store) -> str:
    return (store.read(contract.LATEST) or b"").decode("utf-8", "replace").strip()


def _time(generation: str) -> int:
    """A generation begins with the time when it was made: microseconds in Cloud Storage, nanoseconds in a directory."""
    return int(generation.partition("-")[0])


def latest(root: Store, place: str, name: str) -> str | None:
    """The run id that a name stands for. `place`: MODELS or ADAPTERS."""
    return _said(root.at(f"{place}/{name}")) or None
