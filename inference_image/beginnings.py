"""Owns what of a checkpoint is read before anything is known of it: small files, the shards' beginnings, what is guessed.

Knows no ring and no torch. What the plan waits for comes first, the tokenizer behind it: with Gemma 3 it is as long as two pieces
of weights, and nobody needs it before torch is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final

from inference_image import contract, layout
from inference_image.chunks.plan import Range, cover
from inference_image.chunks.source import Job, Object
from inference_image.contract import Code
from inference_image.files import Files, corrections, parse_files
from inference_image.jobs import Jobs
from inference_image.landing import Landing, page_end
from inference_image.layout import Tensor
from inference_image.presets import BUILT_IN
from inference_image.promises import LIMIT, Promise, parse
from inference_image.settings import Settings
from inference_image.timeline import Timeline

_HEAD: Final = 1 << 20
"""What is read of each shard before anything is known of it: its header is in it, with Gemma 3 always."""
_HEADS: Final = 128 << 20
"""Bytes that the beginnings of all shards may have together."""
_LEAST_HEAD: Final = 64 << 10
_GUESSED: Final = 56 << 20
"""Bytes of weights that may be on their way before the headers are known: they lie in no slab."""


def seeing(objects: Mapping[str, Object], settings: Settings) -> list[str]:
    """The files of images that are there, where images are answered."""
    return [name for name in layout.SEEING if name in objects] if settings.images else []


def small(objects: Mapping[str, Object], settings: Settings) -> list[str]:
    """The files that are read whole; an unreasonably large manifest is none of ours."""
    more = [contract.MANIFEST] if contract.MANIFEST in objects and 0 < objects[contract.MANIFEST].size <= LIMIT else []
    return [name for name in layout.SMALL if name in objects] + seeing(objects, settings) + more


class Beginnings:
    """Each object is read into a region of its own. Used by the one thread that plans."""

    def __init__(
        self,
        objects: Mapping[str, Object],
        settings: Settings,
        timeline: Timeline,
        jobs: Jobs,
        landing: Landing,
        tokenizer: Future[bytes],
    ) -> None:
        self._objects, self._settings, self._timeline = objects, settings, timeline
        self._jobs, self._landing, self._tokenizer = jobs, landing, tokenizer
        self.names = small(objects, settings)
        self.regions: dict[str, int] = {}
        self.end = 0
        """Where the memory of all regions ends."""
        for name in (*self.names, *layout.weights(objects)):
            self.regions[name] = self.end
            self.end += page_end(objects[name].size)
        # what every writer calls a shard; one of another name is read when the index asks for it
        named = [name for name in layout.weights(objects) if name.startswith("model")]
        size = min(settings.chunk, max(_LEAST_HEAD, min(_HEAD, _HEADS // max(1, len(named)))))
        self.heads = {name: min(objects[name].size, size) for name in named}
        """How many bytes of each shard are read at once, in hope of a whole header."""
        self._guessed: dict[str, int] = {}
        self.promises: Mapping[str, Promise] = {}
        self._words_left = 0

    def asked(self, shard: str) -> int:
        """How many of its bytes, from the first on, are there or on their way."""
        return max(self.heads[shard], self._guessed.get(shard, 0))

    def read(self) -> tuple[Files, layout.Index | None]:
        """Small files whole, and of every shard the beginning: its header and the first of its data. Raises LoadFailed."""
        names = [name for name in self.names if name != contract.TOKENIZER]
        wanted = [Range(name, 0, self._objects[name].size) for name in names]
        first = [*cover(wanted, (), _HEAD), *(Range(name, 0, end) for name, end in self.heads.items() if end)]
        jobs = self._give_out(first)
        # A tokenizer in one request would be what all else waits for on a slow link.
        words = Range(contract.TOKENIZER, 0, self._objects[contract.TOKENIZER].size)
        later = self._give_out(cover([words], (), max(_HEAD, self._settings.chunk // 4)))
        self._words_left = len(later)
        long = sum(1 for one in (*jobs, *later) if one.end - one.begin > _HEAD)
        self._give_out(self._guess(self._settings.connections - long))
        self._jobs.wait_for(jobs)
        there = {name: self._whole(name) for name in names}
        if not later:
            self._tokenizer_came()
        return self._parsed(there)

    def took(self, job: Job) -> bool:
        """Was it a part of the tokenizer? With the last of them it is complete. Raises LoadFailed for one that is none."""
        if job.object != contract.TOKENIZER:
            return False
        self._words_left -= 1
        if not self._words_left:
            self._tokenizer_came()
        return True

    def table(self, files: Files, shards: Mapping[str, Object], index: layout.Index | None) -> dict[str, Tensor]:
        """The tensors that serving needs, from the shards' headers; reads on where a header is longer than the beginning."""
        late = {name: min(one.size, self._settings.chunk) for name, one in shards.items() if name not in self.heads}
        self._read_whole([Range(name, 0, end) for name, end in late.items()])
        self.heads |= late
        ends = {name: layout.header_end(self._bytes(name, min(8, one.size)), name, one.size) for name, one in shards.items()}
        if any(end > self.heads[name] for name, end in ends.items()):
            self._jobs.settle()  # what was guessed may be the rest of a header
        longer = [Range(name, self.asked(name), end) for name, end in ends.items() if end > self.asked(name)]
        self._read_whole(longer)
        for rest in longer:
            (self._guessed if rest.object in self._guessed else self.heads)[rest.object] = rest.end
        rows: list[Tensor] = []
        for name, end in ends.items():
            rows += layout.parse_header(self._bytes(name, end), name, shards[name].size)
        if index is not None:
            layout.check_index(index, rows)
        unused = layout.spare(files.text_config)
        return layout.wanted(rows, files.family, unused, images=self._settings.images)

    def _parsed(self, there: Mapping[str, bytes]) -> tuple[Files, layout.Index | None]:
        overrides = corrections(there, self._settings.corrections)
        if named := overrides.named():
            self._timeline.note(overrides=named)
        if contract.MANIFEST in there:
            try:
                self.promises = parse(there[contract.MANIFEST])
            except ValueError as error:
                self._timeline.note(manifest=f"not used: {error}"[:200])
        files, index = parse_files(there, overrides, images=self._settings.images, deployed=self._settings.types)
        if files.presets is not BUILT_IN:
            self._timeline.note(presets=files.presets.named())
        return files, index

    def _guess(self, idle: int) -> list[Range]:
        """Reads that will be wanted, whatever the headers say, for connections that would be idle until these are parsed."""
        ranges: list[Range] = []
        most = max(1, min(max(idle, self._settings.connections // 4), _GUESSED // self._settings.chunk))
        for name in sorted(self.heads):
            at = self.heads[name]
            while at < self._objects[name].size and len(ranges) < most:
                end = min(self._objects[name].size, at + self._settings.chunk)
                ranges.append(Range(name, at, end))
                self._guessed[name] = at = end
        return ranges

    def _tokenizer_came(self) -> None:
        data = self._whole(contract.TOKENIZER)
        layout.check_pointer(data[:64], contract.TOKENIZER, Code.TOKENIZER_INVALID)
        self._tokenizer.set_result(data)

    def _whole(self, name: str) -> bytes:
        """A small file, whose memory is given back."""
        size, at = self._objects[name].size, self.regions[name]
        data = self._bytes(name, size)
        self._landing.arena.release(at, at + page_end(size))
        return data

    def _bytes(self, name: str, end: int) -> bytes:
        at = self.regions[name]
        return bytes(self._landing.arena.view(at, at + end))

    def _read_whole(self, ranges: Iterable[Range]) -> None:
        """Read into the objects' own regions, and wait for all of it."""
        self._jobs.wait_for(self._give_out(ranges))

    def _give_out(self, ranges: Iterable[Range]) -> list[Job]:
        return self._jobs.give_out(self._jobs.job(one, self.regions[one.object] + one.begin) for one in ranges)
