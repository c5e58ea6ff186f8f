"""Carries a copy out: files of a stage side by side, compared before, proven after, the manifest last. Knows no screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import groupby
from threading import Event, Lock
from typing import Final, TypeVar

from gemmactl.checkpoint.copying import Known, Step, stage
from gemmactl.checkpoint.files import DirectoryFiles, Entry, Files
from gemmactl.checkpoint.manifest import LIMIT, PART, RANGE, Manifest, Record, parse
from gemmactl.checkpoint.stores import Store
from gemmactl.checkpoint.stream import Stream, proven
from gemmactl.errors import Trouble
from gemmactl.kernel.events import Done, Events, Progress, silent
from gemmactl.kernel.resource import Clock
from inference_image.contract import MANIFEST

Job = TypeVar("Job")
Made = TypeVar("Made")

WRITERS: Final = 4
"""Files on their way at once. Memory is bounded by WRITERS x (AHEAD + 2 ranges, and 3 chunks of an upload): the whole process had
387 MB at most while 4 x 336 MB went up to the sandbox, and 249 MB while they came down (measured on 2 cores)."""
READERS: Final = 8
"""Ranges read at once, over all files."""
EVERY: Final = 2.0
"""Seconds between two words about the progress."""


@dataclass
class Transfer:
    """One copy from `source` to `store`; `readers` fetch its ranges. `stop` is set when it is interrupted."""

    source: Files
    store: Store
    readers: Executor
    made_by: str
    events: Events = silent
    clock: Clock = field(default_factory=Clock)
    stop: Event = field(default_factory=Event)
    copied: list[str] = field(default_factory=list)
    """Names of files that are whole at the destination because of this run."""
    bytes: int = 0
    """Bytes of those files."""
    _progress: _Progress = field(init=False)
    _lock: Lock = field(default_factory=Lock)
    _standing: Manifest | None = None

    def __post_init__(self) -> None:
        self._progress = _Progress(self.store.files.place, self.events, self.clock)

    def known(self, *, overwrite: bool = False) -> Known:
        """What the manifests of both sides tell. The source's counts only where the place itself states crc32c.

        Raises:
            Trouble: the destination's manifest is none, and it may not be overwritten.
        """
        try:
            self._standing = _manifest(self.store.files, MANIFEST)
        except Trouble:
            if not overwrite:
                raise
        begun = _lenient(self.store.files, PART)
        files = {**(begun.files if begun else {}), **(self._standing.files if self._standing else {})}
        states = any(entry.crc32c for entry in self.source.entries.values())
        return Known(_lenient(self.source, MANIFEST) if states else None, Manifest("", "", files))

    def compare(self, steps: Iterable[Step]) -> tuple[Step, ...]:
        """The steps with no `unknown` among them: reads what only the bytes can tell."""
        steps = tuple(steps)
        unclear = [step for step in steps if step.verdict == "unknown"]
        self._progress.begin("comparing", sum(step.size for step in unclear))
        found = {step.name: step for step in self._side_by_side(self._compared, unclear)}
        return tuple(found.get(step.name, step) for step in steps)

    def run(self, steps: Iterable[Step], known: Known) -> Manifest:
        """Copy what is absent or differs, and leave the manifest there. Raises Trouble; what is whole by then stays."""
        steps = tuple(steps)
        records = {step.name: step.record for step in steps if step.record and step.verdict == "same"}
        todo = [step for step in steps if step.name not in records]
        if any(step.verdict == "differs" for step in steps) and MANIFEST in self.store.files.entries:
            self.store.remove(MANIFEST)  # while files are replaced, nothing may say that all is there
            self._standing = None
        self._progress.begin("copying", sum(step.size for step in todo))
        part = Lock()

        def carry(step: Step) -> None:
            record = self._carry(step)
            with part:
                records[step.name] = record
                if self.store.remembers and step.size > RANGE:
                    self.store.write(PART, self._manifest(records).text().encode())

        for _, group in groupby(todo, key=lambda step: stage(step.name)):
            self._side_by_side(carry, list(group))
            self.store.finish(last=False)
        made = self._manifest({**self._others(known, records), **records})
        if not (self._standing and _covers(self._standing, made)):
            self.store.write(MANIFEST, made.text().encode())
        self.store.finish(last=True)
        if self.store.remembers and (PART in self.store.files.entries or any(step.size > RANGE for step in todo)):
            self.store.remove(PART)
        return made

    # --- one file -------------------------------------------------------------------------------------

    def _compared(self, step: Step) -> Step:
        new, there = self.source.entries[step.name], self.store.files
        if not isinstance(there, DirectoryFiles):
            record = self._sums(self.source, step.name, step.old)  # a store states hashes: the source is held against them
        elif proven(new):
            record = self._sums(there, step.name, new)
        else:
            record, mine = self._sums(there, step.name, None), self._sums(self.source, step.name, None)
            record = record if record and mine and record.crc32c == mine.crc32c else None
        if record is None:
            return replace(step, verdict="differs")
        return replace(step, verdict="same", record=replace(record, version=new.version))

    def _sums(self, files: Files, name: str, stated: Entry | None) -> Record | None:
        """What a file's bytes are; None when they are not what `stated` says."""
        entry = stated or Entry(files.entries[name].size)
        stream = Stream(files, name, self.readers, self.stop, entry=entry, tell=self._progress.tell)
        try:
            return stream.drain()
        except Trouble as trouble:
            if trouble.code == "corrupted":
                return None
            raise
        finally:
            stream.close()

    def _carry(self, step: Step) -> Record:
        if step.verdict == "same":  # it is there, and only its ranges are not known
            return self._put(step, keep=False)
        began = self.clock.now()
        if step.record and self.store.move(self.source, step.name, step.old, step.record):
            self._progress.tell(step.size)
            record = step.record
        else:
            record = self._put(step)
        with self._lock:
            self.copied.append(step.name)
            self.bytes += step.size
        if stage(step.name) == 0:
            self.events(Done(step.name, "copy", self.clock.now() - began))
        return record

    def _put(self, step: Step, *, keep: bool = True) -> Record:
        """A file through this machine; once more from its beginning when its bytes came wrong."""
        first = True
        while True:
            stream = Stream(self.source, step.name, self.readers, self.stop, known=step.record, tell=self._progress.tell)
            try:
                if keep:
                    self.store.put(stream, step.old)
                return stream.drain()
            except Trouble as trouble:
                if not first or trouble.code != "corrupted":
                    raise
                first = False
            finally:
                stream.close()

    # --- all of them ----------------------------------------------------------------------------------

    def _side_by_side(self, work: Callable[[Job], Made], jobs: list[Job]) -> list[Made]:
        """Do the jobs, a few at once. After a failure those under way end and none is begun; Ctrl-C ends them too."""
        with ThreadPoolExecutor(WRITERS) as pool:
            futures = [pool.submit(work, job) for job in jobs]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException:
                self.stop.set()
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        failed = next((e for f in futures if not f.cancelled() and (e := f.exception())), None)
        if failed:
            raise failed
        return [future.result() for future in futures]

    def _manifest(self, records: Mapping[str, Record]) -> Manifest:
        return Manifest(self.source.place, self.made_by, dict(records))

    def _others(self, known: Known, ours: Mapping[str, Record]) -> dict[str, Record]:
        """What an earlier copy put there beside ours, as far as it is still what its record says."""
        entries, before = self.store.files.entries, known.target.files if known.target else {}
        there = {name: record for name, record in before.items() if name in entries and name not in ours}
        return {n: r for n, r in there.items() if entries[n].size == r.size and entries[n].crc32c in ("", r.checksum)}


@dataclass
class _Progress:
    """Bytes done over all files: one line for many threads."""

    place: str
    events: Events
    clock: Clock
    verb: str = ""
    total: int = 0
    done: int = 0
    began: float = 0.0
    told: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def begin(self, verb: str, total: int) -> None:
        self.verb, self.total, self.done = verb, total, 0
        self.began = self.told = self.clock.now()

    def tell(self, count: int) -> None:
        with self.lock:
            self.done += count
            now = self.clock.now()
            if now - self.told < EVERY:
                return
            self.told = now
            done, seconds = min(self.done, self.total), max(now - self.began, 1e-3)
        text = f"{self.verb} {done / 1e6:.1f} of {self.total / 1e6:.1f} MB, {self.done / seconds / 1e6:.1f} MB/s"
        self.events(Progress(self.place, text, done / self.total if self.total else 1.0))


def _manifest(files: Files, name: str) -> Manifest | None:
    """The manifest of a folder, if it has one that speaks of ranges as this version does."""
    if name not in files.entries:
        return None
    found = parse(files.read(name, 0, LIMIT + 1), files.place)
    return found if found.range_bytes == RANGE else None


def _lenient(files: Files, name: str) -> Manifest | None:
    try:
        return _manifest(files, name)
    except Trouble as trouble:
        if trouble.code == "manifest-invalid":
            return None
        raise


def _covers(standing: Manifest, made: Manifest) -> bool:
    """Whether the manifest that is there already says the same of every file, wherever they came from."""
    there = {name: replace(record, version="") for name, record in standing.files.items()}
    return there == {name: replace(record, version="") for name, record in made.files.items()}
