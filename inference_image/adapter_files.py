"""Owns an adapter's way from its folder into memory, beside the base's: list, two files, checksums, judgement. Knows no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from inference_image import bases, contract, layout, lora
from inference_image.chunks import Buffer, Object, Patience, Source, open_source
from inference_image.chunks.crc import Summed
from inference_image.chunks.verify import Part, judge
from inference_image.contract import Code, LoadFailed
from inference_image.families import Family
from inference_image.files import Files
from inference_image.layout import Tensor
from inference_image.lora import Pair
from inference_image.settings import Settings
from inference_image.timeline import Loaded, Timeline

_AT_ONCE = 4
"""Adapters that are read at once, and reads of their weights: the base's own must not wait for them."""


@dataclass(frozen=True)
class Adapter:
    """One adapter that fits its base. `data`: its weights' file, which the pairs' tensors say their places in."""

    name: str
    place: str
    trained_on: str
    same_base: bool | None
    """Is that the model it is served on? None: it can't be known."""
    pairs: tuple[Pair, ...]
    data: bytearray = field(repr=False)

    @property
    def bytes(self) -> int:
        """What it takes once it is loaded."""
        return sum(pair.values for pair in self.pairs) * lora.ITEM

    def document(self) -> dict[str, object]:
        """For the timeline."""
        ranks = sorted({pair.rank for pair in self.pairs})
        found = {"modules": len(self.pairs), "ranks": ranks, "bytes": self.bytes}
        return {"source": self.place, "trained_on": self.trained_on, "same_base": self.same_base, **found}


@dataclass(frozen=True)
class _Folder:
    place: str
    config: lora.Config
    claim: bases.Claim
    tensors: tuple[Tensor, ...]
    data: bytearray


def begin(
    settings: Settings, environ: Mapping[str, str], timeline: Timeline, files: Future[Files], ready: Future[tuple[Adapter, ...]]
) -> None:
    """Read every adapter and hold it to the base that `files` tell of; `ready` gets them, or the first failure. Waits not."""
    places = settings.adapter_places

    def run() -> None:
        try:
            with timeline.phase("read adapters"):
                folders = _folders(places, settings, environ, timeline)
                listed = _listed(settings, environ) if any(one.claim.provable for one in folders.values()) else {}
            base = files.result()
            needed, model = layout.expected(base.text_config), bases.Model(settings.model, base.source, listed)

            def judged(folder: _Folder) -> bases.Judgement:
                return bases.judge(folder.claim, model, any_base=settings.any_base)

            found = tuple(_fitting(name, one, judged(one), needed, base.family) for name, one in folders.items())
            timeline.note(adapters={one.name: one.document() for one in found})
            ready.set_result(found)
        except BaseException as error:  # noqa: BLE001 - it is raised where the adapters are waited for
            ready.set_exception(error)

    if places:
        threading.Thread(target=run, name="adapters", daemon=True).start()
    else:
        ready.set_result(())


T = TypeVar("T")


def _named(name: str, work: Callable[[], T]) -> T:
    """Whatever goes wrong is told of this adapter: its files are called as everybody's are."""
    try:
        return work()
    except LoadFailed as failed:
        inner = failed.failure
        where = contract.ENV_ADAPTERS if inner.object == contract.ENV_MODEL else inner.object
        raise LoadFailed(inner.code, f"adapter {name}", f"{where}: {inner.detail}") from None


def _fitting(name: str, folder: _Folder, judged: bases.Judgement, needed: Mapping[str, tuple[int, ...]], row: Family) -> Adapter:
    config = folder.config
    if judged.problem is not None:
        told = replace(judged.problem, what=f"{judged.problem.what}; {bases.WAY_OUT}")
        config = replace(config, problems=(*config.problems, told))
    pairs = _named(name, lambda: lora.require(config, folder.tensors, needed, row))
    return Adapter(name, folder.place, config.base, judged.same, pairs, folder.data)


def _listed(settings: Settings, environ: Mapping[str, str]) -> Mapping[str, tuple[int, str, str]]:
    """The model's files, to hold a fine-tune's record of its base against. Without a list names decide."""
    with suppress(LoadFailed):
        source = open_source(settings.model, environ, patience=Patience(stall=settings.stall), pin=settings.pin)
        return {one.name: (one.size, bases.checksum(one.crc32c), one.generation) for one in source.list()}
    return {}


def _folders(
    places: Mapping[str, str], settings: Settings, environ: Mapping[str, str], timeline: Timeline
) -> Mapping[str, _Folder]:
    patience = Patience(stall=settings.stall)
    with ThreadPoolExecutor(_AT_ONCE) as adapters, ThreadPoolExecutor(_AT_ONCE) as reads:

        def one(name: str) -> _Folder:
            names = (lora.CONFIG, lora.WEIGHTS, contract.MANIFEST, contract.LINEAGE)
            source = open_source(places[name], environ, patience=patience, names=names, pin=settings.pin)
            return _read(name, source, settings, reads, timeline)

        return dict(zip(places, adapters.map(lambda name: _named(name, lambda: one(name)), places), strict=True))


def _read(name: str, source: Source, settings: Settings, reads: ThreadPoolExecutor, timeline: Timeline) -> _Folder:
    there = {one.name: one for one in source.list()}
    if not settings.pin:  # a pin names the two files that are read, of a folder that was whole when it was approved
        layout.require_published(there, source.uri)
    for wanted in (lora.CONFIG, lora.WEIGHTS):
        if wanted not in there:
            pickle = "; adapter_model.bin is a pickle, which can run code" if "adapter_model.bin" in there else ""
            raise LoadFailed(Code.ADAPTER_INVALID, wanted, f"not in {source.uri}{pickle}: save the adapter with save_pretrained")
    config, weights = there[lora.CONFIG], there[lora.WEIGHTS]
    for one, most in ((config, layout.CONFIG_LIMIT), (weights, lora.WEIGHTS_LIMIT)):
        if not 0 < one.size <= most:
            raise LoadFailed(Code.ADAPTER_INVALID, one.name, f"it has {one.size} bytes; 1 to {most} are read")
    told = there.get(contract.LINEAGE)
    wanted_ones = [config, weights, *([told] if told is not None and 0 < told.size <= layout.CONFIG_LIMIT else [])]
    small, large, *lineage = [(one, *_whole(source, one, settings.chunk, reads)) for one in wanted_ones]
    for one, _, parts in (small, large, *lineage):
        verdict = judge(one, parts, None)
        sum_ = f"{verdict.crc32c:08x}" if verdict.crc32c is not None else None
        timeline.loaded(Loaded(f"{name}/{one.name}", one.size, one.generation, sum_, verdict.verified))
    end = layout.header_end(bytes(large[1][:8]), weights.name, weights.size)
    tensors = layout.parse_header(bytes(large[1][:end]), weights.name, weights.size)
    said = lora.Config.parse(bytes(small[1]))
    claim = bases.Claim.of(said.base, bytes(lineage[0][1]) if lineage else None)
    return _Folder(source.uri, said, claim, tensors, large[1])


def _whole(source: Source, one: Object, chunk: int, reads: ThreadPoolExecutor) -> tuple[bytearray, list[Part]]:
    """All bytes of an object, in parallel ranges, and the checksum of each range."""
    buffer = Buffer(one.size)

    def read(begin: int) -> Part:
        end = min(one.size, begin + chunk)
        sink = Summed(buffer)
        source.read(one, begin, end, sink)
        return begin, end, sink.crc

    return buffer.data, list(reads.map(read, range(0, one.size, chunk)))
