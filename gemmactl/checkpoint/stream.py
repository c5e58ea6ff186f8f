"""One file's bytes in order, ranges read ahead, checksums taken while they pass. Knows no place and writes nothing."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Event
from typing import Final

from gemmactl.checkpoint.files import Entry, Files, changed
from gemmactl.checkpoint.manifest import RANGE, Record, written
from gemmactl.errors import Exit, Trouble

AHEAD: Final = 3
"""Ranges of one file that are read before they are asked for."""
TRIES: Final = 3
"""Times that a range is read whose checksum is known and wrong."""
_GIT: Final = re.compile(r"[0-9a-f]{40}")


class Stream:
    """A Readable (resources/cloud.py) for one thread; the ranges come from the executor's.

    The last range is only handed out when the whole has the checksum that is stated, so whatever is fed by it never becomes
    whole with wrong bytes. `entry`: who states it, the listing of the source unless given. `known`: the file's record in a
    manifest that is about these bytes; then every range is verified when it comes. Reading may raise Trouble: source-changed,
    corrupted, interrupted.
    """

    def __init__(
        self,
        files: Files,
        name: str,
        readers: Executor,
        stop: Event,
        *,
        known: Record | None = None,
        entry: Entry | None = None,
        tell: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        self.name, self.size = name, files.entries[name].size
        self._files, self._entry = files, entry or files.entries[name]
        self._readers, self._stop, self._known, self._tell = readers, stop, known, tell
        self._ahead: deque[tuple[int, Future[bytes]]] = deque()
        self._held: tuple[int, bytes] = (-1, b"")
        self._at = 0
        self._ranges: list[int] = []
        self._whole = 0
        self._other = _other(self._entry)
        self._count = -(-self.size // RANGE)

    @property
    def proven(self) -> bool:
        """Whether anything states what the whole must be."""
        return proven(self._entry)

    @property
    def passed(self) -> bool:
        """Whether all of it has passed, and was what it must be."""
        return len(self._ranges) == self._count

    @property
    def record(self) -> Record:
        """What has passed, when all of it has."""
        if not self.passed:
            raise ValueError(f"{self.name} was not read to its end")
        return Record(self.size, self._whole, tuple(self._ranges), self._entry.version)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + {0: 0, 1: self._at, 2: self.size}[whence])
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self.size if size is None or size < 0 else min(self.size, self._at + size)
        parts = []
        while self._at < end:
            k, skip = divmod(self._at, RANGE)
            part = self._range(k)[skip : skip + end - self._at]
            parts.append(part)
            self._at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drain(self) -> Record:
        """Read on to the end and keep nothing."""
        for k in range(len(self._ranges), self._count):
            self._range(k)
        return self.record

    def adopt(self, data: bytes) -> None:
        """The next range as an earlier try had left it; what does not fit the whole shows at the end."""
        self._sum(len(self._ranges), data)
        self._at = len(self._ranges) * RANGE

    def close(self) -> None:
        """Give up what was read ahead."""
        for _, future in self._ahead:
            future.cancel()
        self._ahead.clear()
        self._held = (-1, b"")

    def _range(self, k: int) -> bytes:
        if self._held[0] == k:
            return self._held[1]
        if self._stop.is_set():
            raise interrupted()
        self._held = (-1, b"")  # its memory is free before more is read
        if not self._ahead or self._ahead[0][0] != k:  # the first one, or somebody went back
            self.close()
        following = self._ahead[-1][0] + 1 if self._ahead else k
        while len(self._ahead) < AHEAD and following < self._count:
            self._ahead.append((following, self._readers.submit(self._fetch, following)))
            following += 1
        data = self._ahead.popleft()[1].result()
        self._sum(k, data)
        self._held = (k, data)
        return data

    def _fetch(self, k: int) -> bytes:
        import google_crc32c

        begin, end = k * RANGE, min(self.size, (k + 1) * RANGE)
        for _ in range(TRIES):
            if self._stop.is_set():
                raise interrupted()
            data = self._files.read(self.name, begin, end)
            if len(data) != end - begin:
                raise changed(self.name, self._files.place, f"it ended at byte {begin + len(data)} of {self.size}")
            if self._known is None or google_crc32c.value(data) == self._known.ranges[k]:
                return data
        raise corrupted(self.name, self._files.place, f"its bytes {begin} to {end - 1} are not those of its manifest")

    def _sum(self, k: int, data: bytes) -> None:
        import google_crc32c

        crc = google_crc32c.value(data)
        if k < len(self._ranges):
            if crc != self._ranges[k]:
                raise changed(self.name, self._files.place, "a second look at the same bytes found others")
            return
        if k > len(self._ranges):  # whoever jumps ahead would leave a hole in the sums
            raise ValueError(f"{self.name}: range {k} is asked for before range {len(self._ranges)}")
        self._whole = google_crc32c.extend(self._whole, data)
        if self._other:
            self._other.update(data)
        self._ranges.append(crc)
        self._tell(len(data))
        if len(self._ranges) == self._count:
            self._verify()

    def _verify(self) -> None:
        said, entry = written(self._whole), self._entry
        if entry.crc32c and said != entry.crc32c:
            raise corrupted(self.name, self._files.place, f"its crc32c is {entry.crc32c} there, and {said} of what arrived")
        if self._other and self._other.hexdigest() != (entry.sha256 or entry.version):
            raise corrupted(self.name, self._files.place, "what arrived has another hash than the one that is stated there")


def proven(entry: Entry) -> bool:
    """Whether a place states a hash of the file's content, so that bytes can be held against it."""
    return bool(entry.crc32c or entry.sha256 or _GIT.fullmatch(entry.version))


def _other(entry: Entry) -> hashlib._Hash | None:
    """The hash that the place states instead of a crc32c: sha256 (LFS) or git's blob id. source: git hash-object."""
    if entry.sha256:
        return hashlib.sha256()
    if _GIT.fullmatch(entry.version):
        return hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False)
    return None


def corrupted(name: str, place: str, why: str) -> Trouble:
    """Bytes that are not what their place says of them."""
    return Trouble(
        f"{name} did not arrive as it is in {place}",
        why=why,
        remedy="run the same command again: what is whole is not sent twice; if it stays so, the source itself is damaged",
        code="corrupted",
        facts={"object": name},
    )


def interrupted() -> Trouble:
    """What threads stop with after Ctrl-C."""
    return Trouble("interrupted", why="Ctrl-C", remedy="run the same command again", code="interrupted", exit=Exit.INTERRUPTED)
