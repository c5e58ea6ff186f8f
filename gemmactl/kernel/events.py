"""What the kernel tells while it works. Knows nobody who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemmactl.errors import Trouble


@dataclass(frozen=True)
class Started:
    address: str
    verb: str
    """create, update or delete"""


@dataclass(frozen=True)
class Progress:
    """A short state that replaces the last one of the same address."""

    address: str
    text: str
    fraction: float | None = None
    detail: str = ""
    """More of the same moment, for a line of its own."""


@dataclass(frozen=True)
class Log:
    """A line of somebody else's log (a build, a container): data, never a command."""

    address: str
    text: str


@dataclass(frozen=True)
class Done:
    address: str
    verb: str
    seconds: float


@dataclass(frozen=True)
class Failed:
    address: str
    trouble: Trouble


@dataclass(frozen=True)
class Skipped:
    address: str
    because: str


@dataclass(frozen=True)
class Detached:
    """Nobody waits for this step any longer; what it started goes on in the cloud."""

    address: str


@dataclass(frozen=True)
class Stopping:
    """Ctrl-C was heard: these steps run to their end or to where they can be left, no other is started."""

    running: tuple[str, ...]


Event = Started | Progress | Log | Done | Failed | Skipped | Detached | Stopping
Events = Callable[[Event], None]


def silent(_event: Event) -> None:
    """An Events that tells nobody."""
