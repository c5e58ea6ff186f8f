"""Owns a checkpoint's way from its source into memory: list, small files, headers, plan, ranges, checksums. Knows no torch.

Runs in its own threads from the first moments of the process, long before torch is imported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from inference_image import chat, contract, layout
from inference_image.chunks.crc import Summed, whole
from inference_image.chunks.plan import Range, cover
from inference_image.chunks.readers import in_parallel
from inference_image.chunks.source import Buffer, Object, Sink, Source
from inference_image.contract import Code, LoadFailed
from inference_image.families import Family
from inference_image.landing import Landing
from inference_image.layout import Tensor
from inference_image.overrides import Overrides
from inference_image.settings import Settings
from inference_image.timeline import Loaded, Timeline


@dataclass(frozen=True)
class Files:
    """The small files of a checkpoint, parsed where they are JSON that we read; `text_config` is the language model's part."""

    config: Mapping[str, Any]
    family: Family
    text_config: Mapping[str, Any]
    generation_config: Mapping[str, Any]
    tokenizer: bytes
    tokenizer_config: Mapping[str, Any]
    chat_template: str | None


class CheckpointStream:
    """One load. `files` and `tensors` are futures, whole tensors come out of `landing`, a failure out of all of them."""

    def __init__(self, source: Source, settings: Settings, timeline: Timeline) -> None:
        self._source = source
        self._settings = settings
        self._timeline = timeline
        self.landing = Landing(settings.staging)
        self.files: Future[Files] = Future()
        self.tensors: Future[Mapping[str, Tensor]] = Future()
        self.finished: Future[None] = Future()
        self._parts: dict[str, list[tuple[int, int, int]]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._run, name="checkpoint", daemon=True).start()

    def failure(self) -> BaseException | None:
        """Why the load has failed already; None while it goes on or has succeeded."""
        return self.finished.exception() if self.finished.done() else None

    def _run(self) -> None:
        try:
            self._load()
            self.finished.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the load is waited for
            for future in (self.files, self.tensors, self.finished):
                if not future.done():
                    future.set_exception(error)
            self.landing.fail(error)

    def _load(self) -> None:
        with self._timeline.phase("list objects"):
            objects = {one.name: one for one in self._source.list()}
            sizes = {name: one.size for name, one in objects.items()}
            layout.require_files(sizes, self._source.uri)
        with self._timeline.phase("read headers"):
            files, index, heads = self._first_read(objects)
            shards = {name: objects[name] for name in layout.shards_of(index, sizes)}
            table = self._table(files.family, shards, heads, index)
            needed = layout.expected(files.text_config)
            layout.require_complete(needed, table, self._source.uri)
            self._timeline.bytes_total = sum(tensor.end - tensor.begin for tensor in table.values())
        self.landing.expect(table)
        self.files.set_result(files)
        self.tensors.set_result(table)
        with self._timeline.phase("read weights"):
            self._read_weights(objects, table, heads)
        self._verify([objects[name] for name in (*_present(objects), *sorted(shards))])

    # --- the steps --------------------------------------------------------------------------------

    def _first_read(self, objects: Mapping[str, Object]) -> tuple[Files, layout.Index | None, dict[str, int]]:
        """Small files whole, and of every shard the first chunk: its header and the beginning of its data."""
        small = {name: Buffer(objects[name].size) for name in _present(objects)}
        heads = {
            name: min(objects[name].size, self._settings.chunk)
            for name in layout.weights(objects)
            if name.startswith("model")  # what every writer calls a shard; one of another name is read when the index asks for it
        }
        wanted = [Range(name, 0, objects[name].size) for name in small]
        sinks: dict[str, Sink] = {**small, **{name: self.landing.open(objects[name]) for name in heads}}
        ranges = [*cover(wanted, (), self._settings.chunk), *(Range(name, 0, end) for name, end in heads.items() if end)]
        self._read(ranges, objects, sinks)
        overrides = self._overrides(small)
        config = layout.parse_json(bytes(small[contract.CONFIG].data), contract.CONFIG, Code.CONFIG_INVALID)
        config = overrides.apply_json(contract.CONFIG, config)
        index = layout.parse_index(bytes(small[contract.INDEX].data)) if contract.INDEX in small else None

        def optional(name: str, code: Code) -> dict[str, Any]:
            own = layout.parse_json(bytes(small[name].data), name, code) if name in small else {}
            return overrides.apply_json(name, own)

        layout.check_pointer(bytes(small[contract.TOKENIZER].data[:64]), contract.TOKENIZER, Code.TOKENIZER_INVALID)
        template = small.get(contract.CHAT_TEMPLATE)
        files = Files(
            config=config,
            family=layout.family(config),
            text_config=layout.text_config(config),
            generation_config=optional(contract.GENERATION_CONFIG, Code.CONFIG_INVALID),
            tokenizer=bytes(small[contract.TOKENIZER].data),
            tokenizer_config=optional(contract.TOKENIZER_CONFIG, Code.TOKENIZER_INVALID),
            chat_template=overrides.template or (chat.template_text(bytes(template.data)) if template else None),
        )
        return files, index, heads

    def _overrides(self, small: Mapping[str, Buffer]) -> Overrides:
        """The corrections beside the weights, and those of the deployment, which win; the timeline tells which there are."""
        found = Overrides()
        if contract.OVERRIDES in small:
            found = Overrides.parse(bytes(small[contract.OVERRIDES].data), contract.OVERRIDES)
        found = found.merged(self._settings.corrections)
        if named := found.named():
            self._timeline.note(overrides=named)
        return found

    def _table(
        self, family: Family, shards: Mapping[str, Object], heads: dict[str, int], index: layout.Index | None
    ) -> dict[str, Tensor]:
        """The tensors that serving needs, from the shards' headers; reads on where a header is longer than the first chunk."""
        late = {name: min(one.size, self._settings.chunk) for name, one in shards.items() if name not in heads}
        self._read([Range(name, 0, end) for name, end in late.items()], shards, {n: self.landing.open(shards[n]) for n in late})
        heads |= late
        ends = {}
        for name, one in shards.items():
            region = self.landing.open(one)
            ends[name] = layout.header_end(bytes(region.buffer(0, 8)), name, one.size)
        longer = [Range(name, heads[name], end) for name, end in ends.items() if end > heads[name]]
        self._read(longer, shards, {rest.object: self.landing.open(shards[rest.object]) for rest in longer})
        for rest in longer:
            heads[rest.object] = rest.end
        rows: list[Tensor] = []
        for name, end in ends.items():
            header = bytes(self.landing.open(shards[name]).buffer(0, end))
            rows += layout.parse_header(header, name, shards[name].size)
        if index is not None:
            layout.check_index(index, rows)
        return layout.wanted(rows, family)

    def _read_weights(self, objects: Mapping[str, Object], table: Mapping[str, Tensor], heads: Mapping[str, int]) -> None:
        have = [Range(name, 0, end) for name, end in heads.items()]
        self._timeline.arrived(sum(max(0, min(tensor.end, heads[tensor.object]) - tensor.begin) for tensor in table.values()))
        plan = cover((Range(tensor.object, tensor.begin, tensor.end) for tensor in table.values()), have, self._settings.chunk)
        sinks: dict[str, Sink] = {name: self.landing.open(objects[name]) for name in {one.object for one in plan}}

        def with_room() -> Iterator[Range]:
            for one in plan:
                self.landing.wait_for_room()
                yield one

        self._read(with_room(), objects, sinks, count=True)

    def _read(
        self,
        ranges: list[Range] | Iterator[Range],
        objects: Mapping[str, Object],
        sinks: Mapping[str, Sink],
        *,
        count: bool = False,
    ) -> None:
        def work(one: Range) -> None:
            sink = Summed(sinks[one.object])
            self._source.read(objects[one.object], one.begin, one.end, sink)
            with self._lock:
                self._parts.setdefault(one.object, []).append((one.begin, one.end, sink.crc))
            if count:
                self._timeline.arrived(one.end - one.begin)

        in_parallel(ranges, work, self._settings.connections)

    def _verify(self, objects: list[Object]) -> None:
        """Compare the sum of every object that was read whole with the store's own; note all in the timeline.

        An object with tensors that were left out has no sum of its own to compare with.
        """
        for one in objects:
            summed = whole(self._parts.get(one.name, []))
            ours = summed[0] if summed is not None and summed[1] == one.size else None
            if ours is not None and one.crc32c is not None and ours != one.crc32c:
                detail = f"its bytes have crc32c {ours:08x}, the store says {one.crc32c:08x}"
                raise LoadFailed(Code.CHECKSUM_MISMATCH, one.name, detail)
            known = ours if ours is not None else one.crc32c
            text = f"{known:08x}" if known is not None else None
            self._timeline.loaded(Loaded(one.name, one.size, one.generation, text, ours is not None and one.crc32c is not None))


def _present(objects: Mapping[str, Object]) -> list[str]:
    return [name for name in layout.SMALL if name in objects]
