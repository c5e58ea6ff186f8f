"""Owns a checkpoint's way from its source into memory: list, small files, headers, plan, ranges, checksums. Knows no torch.

Runs in its own threads, and mostly in a process of its own, from the first moments on, long before torch is imported.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Final

from inference_image import contract, layout
from inference_image.adapter_files import Adapter
from inference_image.beginnings import Beginnings, seeing
from inference_image.chunks.plan import Range, Reading, chained, reading, tapered
from inference_image.chunks.readers import Events, Readers
from inference_image.chunks.source import NOWHERE, Job, Object
from inference_image.chunks.turns import Turns
from inference_image.chunks.verify import judge
from inference_image.contract import Code, LoadFailed
from inference_image.files import Files
from inference_image.hardware import gpu_driver
from inference_image.jobs import GivenUp, Jobs
from inference_image.landing import Landing, Piece, Ring, slab_of
from inference_image.layout import Tensor
from inference_image.promises import Promise
from inference_image.settings import Settings
from inference_image.timeline import Loaded, Timeline

SPARE: Final = 2
"""Reads beyond the connections that are always waiting for one."""
_LANDED: Final = 4
"""Slabs whose bytes may wait for whoever fills: once that goes on, no more memory is taken for its pauses."""
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
        """Its file: the largest beside the weights, it comes while they do."""
        self.tensors: Future[Mapping[str, Tensor]] = Future()
        self.finished: Future[None] = Future()
        self.adapters: Future[tuple[Adapter, ...]] = Future()
        """Read beside the model, and held to it."""

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
            for name in seeing(objects, self._settings):
                layout.check_size(name, sizes[name])
        with self._timeline.phase("read headers"):
            first = Beginnings(objects, self._settings, self._timeline, self._jobs, self.landing, self.tokenizer)
            self._open(objects, first)
            files, index = first.read()
            shards = {name: objects[name] for name in layout.shards_of(index, sizes)}
            table = first.table(files, shards, index)
            needed = layout.expected(files.text_config) | (files.vision.expected() if files.vision is not None else {})
            layout.require_complete(needed, table, self._readers.uri)
            self._timeline.bytes_total = sum(tensor.end - tensor.begin for tensor in table.values())
        ring = self._ring(table)
        self.landing.expect(table, ring)
        self.files.set_result(files)
        self.tensors.set_result(table)
        with self._timeline.phase("read weights"):
            self._read_weights(first, shards, table)
        self._timeline.note(reads={**self._readers.close(), "slabs": ring.most_out if ring is not None else 0})
        self._verify([objects[name] for name in (*first.names, *sorted(shards))], first.promises)

    def _open(self, objects: Mapping[str, Object], first: Beginnings) -> None:
        """Memory for everything: regions, and behind them the ring."""
        self._ring_at = first.end
        self._slabs = max(self._settings.staging // max(1, self._settings.chunk), self._ahead + _LANDED)
        arena = self._readers.open(objects, first.end + Ring.length(self._settings.chunk, self._slabs))
        self.landing.open(arena, first.regions)

    @property
    def _ahead(self) -> int:
        """Reads that are given out at once, so that none of the connections waits for one."""
        return self._readers.connections + SPARE

    def _ring(self, table: Mapping[str, Tensor]) -> Ring | None:
        """Slabs, where bytes can't stay where they land: on their way to a GPU, into another dtype, or through int8."""
        own = "F32" if self._settings.dtype == "float32" else "BF16"
        stay = not gpu_expected(self._settings) and not self._settings.int8
        if stay and all(tensor.dtype == own for tensor in table.values()):
            return None
        return Ring(self._ring_at, self._settings.chunk, self._slabs)

    def _reading(self, one: Object, table: Mapping[str, Tensor], first: Beginnings) -> Reading:
        """What of a shard is read, so that its bytes can be proven wherever something is there to prove them with."""
        promise, step = _promise(one, first.promises), None
        if promise is not None:
            step = promise.step
        elif one.crc32c is None or self._settings.skip_unverified:
            step = 0
        wanted = [Range(one.name, tensor.begin, tensor.end) for tensor in table.values() if tensor.object == one.name]
        return reading(wanted, Range(one.name, 0, first.asked(one.name)), one.size, self._settings.chunk, step)

    def _read_weights(self, first: Beginnings, shards: Mapping[str, Object], table: Mapping[str, Tensor]) -> None:
        plan = [self._reading(one, table, first) for one in shards.values()]
        kept = tuple(one for each in plan for one in each.kept)
        connections, chunk = self._settings.connections, self._settings.chunk
        # The last quarter of a round in quarters of a chunk: one short request for each connection, and no more of them.
        kept = tapered(kept, connections * chunk // 4, max(1, chunk // 4))
        summed = [one for each in plan for one in each.summed]
        for name in shards:
            if head := first.heads[name]:
                self._land(Piece(name, 0, head, self.landing.region(name), None))
        # What is only summed comes last: the model is filled while its checksum is still being made.
        turns, only_sums = Turns([*chained(kept, connections), *chained(summed, connections)]), set(summed)
        while turns or self._jobs:
            self._jobs.give_out(self._with_room(turns, only_sums))
            done = self._jobs.next()
            if done is None:
                continue
            turns.done(done.object, done.begin)
            if not first.took(done) and done.to != NOWHERE:
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
            elif (slab := ring.take(self._ahead + _LANDED if self.landing.draining else None)) is not None:
                to = ring.place(slab, one.begin)
            else:
                break
            batch.append(self._jobs.job(turns.give(chain), to, chain.till))
        return batch

    def _land(self, piece: Piece) -> None:
        self._timeline.arrived(sum(end - begin for _, begin, end in self.landing.overlaps(piece)))
        self.landing.landed(piece)

    def _verify(self, objects: list[Object], promises: Mapping[str, Promise]) -> None:
        """Raises LoadFailed(checksum_mismatch); the timeline tells what each object was and whether it is proven."""
        for one in objects:
            # A small file may be mended by hand after the manifest was written: only the store's own sum counts for it.
            promise = _promise(one, promises) if one.name.endswith(".safetensors") else None
            verdict = judge(one, self._jobs.parts.get(one.name, []), promise.sum if promise is not None else None)
            text = f"{verdict.crc32c:08x}" if verdict.crc32c is not None else None
            self._timeline.loaded(Loaded(one.name, one.size, one.generation, text, verdict.verified))
        if self._settings.skip_unverified:
            self._timeline.note(skip_unverified=True)


def _promise(one: Object, promises: Mapping[str, Promise]) -> Promise | None:
    """What the manifest says of this very object."""
    promise = promises.get(one.name)
    return promise if promise is not None and promise.about(one) else None
