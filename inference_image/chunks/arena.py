"""Owns the memory that ranges are received into, shared with the process that reads. Knows no objects.

One stretch of address space, which costs nothing: a page takes memory when something is received into it, and goes back with
release().
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Final

from inference_image.contract import Code, LoadFailed

PAGE: Final = mmap.PAGESIZE
_NO_RESERVE: Final = 0x4000 if sys.platform == "linux" else 0
"""Linux's MAP_NORESERVE, which Python 3.11 does not name."""


def can_share() -> bool:
    """Can memory be handed to another process by a file descriptor here? Linux can."""
    return hasattr(os, "memfd_create")


def shared_file() -> int:
    """The descriptor of an empty file in memory, to be mapped by two processes. Raises OSError."""
    return os.memfd_create("weights", os.MFD_CLOEXEC)


class Arena:
    """`size` bytes of memory: of this process alone, or those of the file in memory `descriptor`, as long as it is."""

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        self.size = max(PAGE, -(-size // PAGE) * PAGE)
        self._shared = descriptor is not None
        try:
            if descriptor is None:
                # Without a reserve: most of it is never touched, and a small machine would refuse it.
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
                self.memory = mmap.mmap(-1, self.size, flags=flags)
                self._ask_for_huge_pages()
            else:
                if os.fstat(descriptor).st_size < self.size:
                    os.ftruncate(descriptor, self.size)
                self.memory = mmap.mmap(descriptor, self.size, flags=mmap.MAP_SHARED)
        except (OSError, ValueError, OverflowError) as error:
            detail = f"no {size} bytes of address space: {error}"
            raise LoadFailed(Code.HOST_MEMORY, "memory", detail[:200]) from None
        self._view = memoryview(self.memory)

    def view(self, begin: int, end: int) -> memoryview:
        return self._view[begin:end]

    def release(self, begin: int, end: int) -> None:
        """Give the pages that lie wholly inside [begin, end) back to the system; they read as zeros from now on."""
        first, beyond = -(-begin // PAGE) * PAGE, end // PAGE * PAGE
        # A page of a file in memory lives on without a mapping: only REMOVE frees it.
        advice = "MADV_REMOVE" if self._shared else "MADV_DONTNEED"
        if beyond > first and hasattr(mmap, advice):
            self.memory.madvise(getattr(mmap, advice), first, beyond - first)

    def _ask_for_huge_pages(self) -> None:
        # The first touch of a page is the largest single cost of a load into fresh memory; fewer pages, fewer touches.
        if hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                self.memory.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                return  # a kernel without them
