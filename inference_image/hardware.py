"""Owns what can be said of this machine without torch: its memory, and whether a GPU's driver is there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_DRIVER: Final = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def gpu_driver() -> bool:
    """Is there a driver for a GPU? Known long before torch is imported."""
    return any(Path(path).exists() for path in _DRIVER)


def host_memory() -> int | None:
    """Memory that this process may use, in bytes: the container's limit or the machine's memory."""
    limits = []
    for path in _LIMITS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            limits.append(int(text))
    try:
        first = Path("/proc/meminfo").read_text(encoding="ascii").split("\n", 1)[0]
        limits.append(int(first.split()[1]) << 10)
    except (OSError, ValueError, IndexError):
        pass
    return min(limits, default=None)
