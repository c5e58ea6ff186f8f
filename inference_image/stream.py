"""Owns a checkpoint's way from its source into memory: list, small files, headers, plan, ranges, checksums. Knows no torch.

Runs in its own threads, and mostly in a process of its own, from the first moments on, long before torch is imported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final

from inference_image import contract, layout
from inference_image.adapter_files import Adapter
from inference_image.chunks.plan import Range, Reading, chained, cover, reading, tapered
from inference_image.chunks.readers import Events, Readers
from inference_image.chunks.source import NOWHERE, Job, Object
from inference_image.chunks.turns import Turns
from inference_image.chunks.verify import judge
from inference_image.contract import Code, LoadFailed
from inference_image.files import Files, corrections, parse_files
from inference_image.hardware import gpu_driver
from inference_image.jobs import GivenUp, Jobs
from inference_image.landing import Landing, Piece, Ring, page_end, slab_of
from inference_image.layout import Tensor
from inference_image.presets import BUILT_IN
from inference_image.promises import LIMIT, Promise, parse
from inference_image.settings import Settings
from inference_image.timeline import Loaded, Timeline

_HEAD: Final = 1 << 20
"""What is read of each shard before anything is known of it: its header is in it, with Gemma 3 always."""
_HEADS: Final = 128 << 20
"""Bytes that the beginnings of all shards may have together."""
_LEAST_HEAD: Final = 64 << 10
_GUESSED: Final = 56 << 20
"""Bytes of weights that may be on their way before the headers are known: they lie in no slab."""
SPARE: Final = 2
"""Reads beyond the connections that are always waiting for one."""
RING: Final = 192 << 20
"""Bytes of slabs beyond which no connection is added on the way to a GPU."""


def gpu_expected(settings: Settings) -> bool:
    """Will the weights go to a GPU? Judged long before torch is there to be asked."""
    return settings.device == "cuda" or (settings.device == "auto" and gpu_driver())


class CheckpointStream:
    """One load. `files` and `tensors` are futures, what landed comes out of `landing`, a failure out of all of them."""

    def __init__(self, readers: Readers, events: Events, settings: Settings, timeline: Timeline) -> None:
        self._readers, self._settings, self._timeline = readers, settings, timeline
        self._jobs = Jobs(readers, events, settings.load_seconds)
        self.landing = Landing()
        self.landing.freed, self._jobs.stopped = self._jobs.freed, lambda: self.landing.stopped
        self.files: Future[Files] = Future()
        self.tokenizer: Future[bytes] = Future()
        """Its file, the largest beside the weights: what the weights are waits for the others alone."""
        self.tensors: Future[Mapping[str, Tensor]] = Future()
        self.finished: Future[None] = Future()
        self.adapters: Future[tuple[Adapter, ...]] = Future()
        """Read beside the model, and held to it."""
        self._promises: Mapping[str, Promise] = {}
        self._guessed: dict[str, int] = {}
        self._words_left = 0

    def start(self) -> None:
        threading.Thread(target=self._run, name="checkpoint", daemon=True).start()

    def take_adapters(self) -> tuple[Adapter, ...]:
        """Wait for the adapters, once: their bytes belong to whoever takes them. Raises LoadFailed."""
        try:
            found, self.adapters = self.adapters.result(self._settings.load_seconds), Future()
        except TimeoutError:
            detail = f"not read within {self._settings.load_seconds} s"
            raise LoadFailed(Code.DEADLINE_EXCEEDED, contract.ENV_ADAPTERS, detail) from None
        return found

    def failure(self) -> BaseException | None:
        """Why the load has failed already; None while it goes on or has succeeded."""
        done = (future.exception() for future in (self.finished, self.adapters) if future.done())
        return next((error for error in done if error is not None and not isinstance(error, GivenUp)), None)

    def _run(self) -> None:
        try:
            self._load()
            self.finished.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the load is waited for
            for future in (self.files, self.tokenizer, self.tensors, self.finished):
                if not future.done():
                    future.set_exception(error)
            self.landing.fail(error)
            self._readers.close()

    def _load(self) -> None:
        with self._timeline.phase("list objects"):
            objects = {one.name: one for one in self._readers.list()}
            sizes = {name: one.size for name, one in objects.items()}
            layout.require_files(sizes, self._readers.uri)
            for name in self._seeing(objects):
                layout.check_size(name, sizes[name])
        with self._timeline.phase("read headers"):
            heads = self._open(objects)
            files, index = self._first_read(objects, heads)
            shards = {name: objects[name] for name in layout.shards_of(index, sizes)}
            table = self._table(files, shards, heads, index)
            needed = layout.expected(files.text_config) | (files.vision.expected() if files.vision is not None else {})
            layout.require_complete(needed, table, self._readers.uri)
            self._timeline.bytes_total = sum(tensor.end - tensor.begin for tensor in table.values())
        ring = self._ring(table)
        self.landing.expect(table, ring)
        self.files.set_result(files)
        self.tensors.set_result(table)
        with self._timeline.phase("read weights"):
            self._read_weights(objects, shards, table, heads)
        self._timeline.note(reads={**self._readers.close(), "slabs": ring.most_out if ring is not None else 0})
        self._verify([objects[name] for name in (*self._small(objects), *sorted(shards))])

    # --- what is read before anything is known --------------------------------------------------------

    def _small(self, objects: Mapping[str, Object]) -> list[str]:
        """The files that are read whole; an unreasonably large manifest is none of ours."""
        more = [contract.MANIFEST] if contract.MANIFEST in objects and 0 < objects[contract.MANIFEST].size <= LIMIT else []
        return [name for name in layout.SMALL if name in objects] + self._seeing(objects) + more

    def _seeing(self, objects: Mapping[str, Object]) -> list[str]:
        """Those of images, where they are answered."""
        return [name for name in layout.SEEING if name in objects] if self._settings.images else []

    def _open(self, objects: Mapping[str, Object]) -> dict[str, int]:
        """Memory for everything; how many bytes of each shard are read at once, in hope of a whole header."""
        at, regions = 0, {}
        for name in (*self._small(objects), *layout.weights(objects)):
            regions[name] = at
            at += page_end(objects[name].size)
        self._ring_at = at
        self._slabs = max(self._settings.staging // max(1, self._settings.chunk), self._ahead + 4)
        arena = self._readers.open(objects, at + Ring.length(self._settings.chunk, self._slabs))
        self.landing.open(arena, regions)
        # what every writer calls a shard; one of another name is read when the index asks for it
        named = [name for name in layout.weights(objects) if name.startswith("model")]
        size = min(self._settings.chunk, max(_LEAST_HEAD, min(_HEAD, _HEADS // max(1, len(named)))))
        return {name: min(objects[name].size, size) for name in named}

    @property
    def _ahead(self) -> int:
        """Reads that are given out at once, so that none of the connections waits for one."""
        return self._readers.connections + SPARE

    def _first_read(self, objects: Mapping[str, Object], heads: Mapping[str, int]) -> tuple[Files, layout.Index | None]:
        """Small files whole, but for the tokenizer, and of every shard the beginning: its header and the first of its data."""
        names = [name for name in self._small(objects) if name != contract.TOKENIZER]
        wanted = [Range(name, 0, objects[name].size) for name in names]
        first = [*cover(wanted, (), _HEAD), *(Range(name, 0, end) for name, end in heads.items() if end)]
        jobs = self._jobs.give_out(map(self._in_region, first))
        # A tokenizer in one request would be what all else waits for on a slow link.
        words = Range(contract.TOKENIZER, 0, objects[contract.TOKENIZER].size)
        later = self._jobs.give_out(map(self._in_region, cover([words], (), max(_HEAD, self._settings.chunk // 4))))
        self._words_left = len(later)
        long = sum(1 for one in (*jobs, *later) if one.end - one.begin > _HEAD)
        self._jobs.give_out(map(self._in_region, self._guess(objects, heads, self._settings.connections - long)))
        self._jobs.wait_for(jobs)
        small = {name: self._whole(objects[name]) for name in names}
        if not later:
            self._tokenizer_came(objects[contract.TOKENIZER])
        overrides = corrections(small, self._settings.corrections)
        if named := overrides.named():
            self._timeline.note(overrides=named)
        if contract.MANIFEST in small:
            try:
                self._promises = parse(small[contract.MANIFEST])
            except ValueError as error:
                self._timeline.note(manifest=f"not used: {error}"[:200])
        files, index = parse_files(small, overrides, images=self._settings.images, deployed=self._settings.types)
        if files.presets is not BUILT_IN:
            self._timeline.note(presets=files.presets.named())
        return files, index

    def _tokenizer_came(self, one: Object) -> None:
        data = self._whole(one)
        layout.check_pointer(data[:64], one.name, Code.TOKENIZER_INVALID)
        self.tokenizer.set_result(data)

    def _guess(self, objects: Mapping[str, Object], heads: Mapping[str, int], idle: int) -> list[Range]:
        """Reads that will be wanted, whatever the headers say, for connections that would be idle until these are parsed."""
        ranges: list[Range] = []
        most = max(1, min(max(idle, self._settings.connections // 4), _GUESSED // self._settings.chunk))
        for name in sorted(heads):
            at = heads[name]
            while at < objects[name].size and len(ranges) < most:
                end = min(objects[name].size, at + self._settings.chunk)
                ranges.append(Range(name, at, end))
                self._guessed[name] = at = end
        return ranges

    def _whole(self, one: Object) -> bytes:
        """A small file, whose memory is given back."""
        data, at = self._bytes(one.name, one.size), self.landing.region(one.name)
        self.landing.arena.release(at, at + page_end(one.size))
        return data

    def _bytes(self, name: str, end: int) -> bytes:
        at = self.landing.region(name)
        return bytes(self.landing.arena.view(at, at + end))

    def _table(
        self, files: Files, shards: Mapping[str, Object], heads: dict[str, int], index: layout.Index | None
    ) -> dict[str, Tensor]:
        """The tensors that serving needs, from the shards' headers; reads on where a header is longer than the beginning."""
        late = {name: min(one.size, self._settings.chunk) for name, one in shards.items() if name not in heads}
        self._read([Range(name, 0, end) for name, end in late.items()])
        heads |= late
        ends = {name: layout.header_end(self._bytes(name, min(8, one.size)), name, one.size) for name, one in shards.items()}
        if any(end > heads[name] for name, end in ends.items()):
            self._jobs.settle()  # what was guessed may be the rest of a header
        there = {name: max(heads[name], self._guessed.get(name, 0)) for name in ends}
        longer = [Range(name, there[name], end) for name, end in ends.items() if end > there[name]]
        self._read(longer)
        for rest in longer:
            (self._guessed if rest.object in self._guessed else heads)[rest.object] = rest.end
        rows: list[Tensor] = []
        for name, end in ends.items():
            rows += layout.parse_header(self._bytes(name, end), name, shards[name].size)
        if index is not None:
            layout.check_index(index, rows)
        unused = layout.spare(files.text_config)
        return layout.wanted(rows, files.family, unused, images=self._settings.images)

    def _read(self, ranges: Iterable[Range]) -> None:
        """Read into the objects' own regions, and wait for all of it."""
        self._jobs.wait_for(self._jobs.give_out(map(self._in_region, ranges)))

    def _in_region(self, one: Range) -> Job:
        return self._jobs.job(one, self.landing.region(one.object) + one.begin)

    # --- the weights ----------------------------------------------------------------------------------

    def _ring(self, table: Mapping[str, Tensor]) -> Ring | None:
        """Slabs, where bytes can't stay where they land: on their way to a GPU, into another dtype, or through int8."""
        own = "F32" if self._settings.dtype == "float32" else "BF16"
        stay = not gpu_expected(self._settings) and not self._settings.int8
        if stay and all(tensor.dtype == own for tensor in table.values()):
            return None
        return Ring(self._ring_at, self._settings.chunk, self._slabs)

    def _reading(self, one: Object, table: Mapping[str, Tensor], head: int) -> Reading:
        """What of a shard is read, so that its bytes can be proven wherever something is there to prove them with."""
        promise, step = self._promise(one), None
        if promise is not None:
            step = promise.step
        elif one.crc32c is None or self._settings.skip_unverified:
            step = 0
        wanted = [Range(one.name, tensor.begin, tensor.end) for tensor in table.values() if tensor.object == one.name]
        return reading(wanted, Range(one.name, 0, head), one.size, self._settings.chunk, step)

    def _promise(self, one: Object) -> Promise | None:
        promise = self._promises.get(one.name)
        return promise if promise is not None and promise.about(one) else None

    def _read_weights(
        self, objects: Mapping[str, Object], shards: Mapping[str, Object], table: Mapping[str, Tensor], heads: Mapping[str, int]
    ) -> None:
        asked = {name: max(heads[name], self._guessed.get(name, 0)) for name in shards}
        plan = [self._reading(one, table, asked[name]) for name, one in shards.items()]
        kept = tuple(one for each in plan for one in each.kept)
        connections, chunk = self._settings.connections, self._settings.chunk
        # The last quarter of a round in quarters of a chunk: one short request for each connection, and no more of them.
        kept = tapered(kept, connections * chunk // 4, max(1, chunk // 4))
        summed = [one for each in plan for one in each.summed]
        for name in shards:
            if heads[name]:
                self._land(Piece(name, 0, heads[name], self.landing.region(name), None))
        # What is only summed comes last: the model is filled while its checksum is still being made.
        turns, only_sums = Turns([*chained(kept, connections), *chained(summed, connections)]), set(summed)
        while turns or self._jobs:
            self._jobs.give_out(self._with_room(turns, only_sums))
            done = self._jobs.next()
            if done is None:
                continue
            turns.done(done.object, done.begin)
            if done.object == contract.TOKENIZER:
                self._words_left -= 1
                if not self._words_left:
                    self._tokenizer_came(objects[contract.TOKENIZER])
            elif done.to != NOWHERE:
                slab = slab_of(done.to) if done.to >= self._ring_at else None
                self._land(Piece(done.object, done.begin, done.end, done.to, slab))

    def _with_room(self, turns: Turns, only_sums: set[Range]) -> list[Job]:
        """The next reads that have a place to go to: enough that no reader waits for one."""
        ring = self.landing.ring
        batch: list[Job] = []
        # Where each has its place already, a queue costs nothing, and nobody waits while torch's import holds Python's lock.
        ahead = self._ahead if ring is not None else 2 * max(self._settings.connections, self._settings.connections_most)
        while len(self._jobs) + len(batch) < ahead and (chain := turns.next(self._readers.connections)) is not None:
            one = chain.piece
            if one in only_sums:
                to = NOWHERE
            elif ring is None:
                to = self.landing.region(one.object) + one.begin
            elif (slab := ring.take()) is not None:
                to = ring.place(slab, one.begin)
            else:
                break
            batch.append(self._jobs.job(turns.give(chain), to, chain.till))
        return batch

    def _land(self, piece: Piece) -> None:
        self._timeline.arrived(sum(end - begin for _, begin, end in self.landing.overlaps(piece)))
        self.landing.landed(piece)

    def _verify(self, objects: list[Object]) -> None:
        """Raises LoadFailed(checksum_mismatch); the timeline tells what each object was and whether it is proven."""
        for one in objects:
            # A small file may be mended by hand after the manifest was written: only the store's own sum counts for it.
            promise = self._promise(one) if one.name.endswith(".safetensors") else None
            verdict = judge(one, self._jobs.parts.get(one.name, []), promise.sum if promise is not None else None)
            text = f"{verdict.crc32c:08x}" if verdict.crc32c is not None else None
            self._timeline.loaded(Loaded(one.name, one.size, one.generation, text, verdict.verified))
        if self._settings.skip_unverified:
            self._timeline.note(skip_unverified=True)
