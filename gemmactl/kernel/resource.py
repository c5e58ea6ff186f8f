"""The contract of a resource: one kind of thing in the cloud and all that is known about it. Knows no concrete kind."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from gemmactl.errors import Trouble
from gemmactl.kernel.events import Events, Log, Progress, silent


@dataclass(frozen=True)
class Clock:
    """Time as a setting: tests pass their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Left(Exception):  # noqa: N818 - a step that was left is no fault
    """A step stopped waiting for what goes on in the cloud by itself, because somebody asked it to."""


@dataclass(frozen=True)
class Work:
    """What a step gets beside the cloud: a voice, a clock and a deadline it must keep in long loops."""

    address: str = ""
    events: Events = silent
    clock: Clock = field(default_factory=Clock)
    deadline: float = float("inf")
    leave: threading.Event = field(default_factory=threading.Event)
    """Set when nobody wants to wait any longer (Ctrl-C)."""

    def progress(self, text: str, fraction: float | None = None) -> None:
        self.events(Progress(self.address, text, fraction))

    def log(self, text: str) -> None:
        self.events(Log(self.address, text))

    def wait(self, seconds: float, *, leavable: bool = False) -> None:
        """Sleep, but not past the deadline. `leavable`: what is waited for goes on without us, and a next run joins it.

        Raises:
            Trouble: the deadline has passed.
            Left: it is leavable, and nobody wants to wait any longer.
        """
        if leavable and self.leave.is_set():
            raise Left(self.address)
        left = self.deadline - self.clock.now()
        if left <= 0:
            raise Trouble(
                f"{self.address} took longer than its limit",
                why="the cloud did not finish the operation in time; it may still be going on",
                remedy="run the same command again: it re-attaches to what is under way",
                code="step-timeout",
            )
        self.clock.sleep(min(seconds, left))


@dataclass(frozen=True)
class Resource(ABC):
    """Fields are wishes; None means "no opinion". `read` returns a live twin of the same class, or None.

    Fields with compare=False carry no wish (they are neither diffed nor shown).
    """

    kind: ClassVar[str]
    fixed: ClassVar[frozenset[str]] = frozenset()
    """Fields that can't change in place: a difference makes the step BLOCKED."""
    limit: ClassVar[float] = 300.0
    """Seconds that one step may take."""
    settles: ClassVar[bool] = False
    """Whether other APIs see what a step of this kind did only minutes later: grants, new accounts, enabled APIs."""
    by_others: ClassVar[bool] = False
    """Whether somebody else may have made it, so that a plan may start although the caller can't look at it."""
    lasting: ClassVar[str] = ""
    """Why destroy keeps things of this kind; empty: destroy removes them."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Unique in a stack, readable, stable: `repository us-central1/gemmactl`."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Addresses that must be done before this one."""
        return ()

    @property
    def lock(self) -> str | None:
        """Steps with the same lock never run at the same time (writes of one IAM policy)."""
        return None

    @property
    def explain_fixed(self) -> str:
        """What to do when a fixed field differs."""
        return "delete it first, or choose another name"

    @abstractmethod
    def read(self, cloud: Any) -> Self | None:
        """The live twin; only read calls."""

    @abstractmethod
    def create(self, cloud: Any, work: Work) -> None: ...

    def update(self, cloud: Any, live: Self, work: Work) -> None:
        """Bring `live` to the wishes. Kinds without changeable fields never get here."""
        raise TypeError(f"{type(self).__name__} has nothing to update")

    @abstractmethod
    def delete(self, cloud: Any, live: Self, work: Work) -> None: ...

    def ours(self, cloud: Any, live: Self) -> bool:
        """Whether destroy may remove the live thing: it carries our mark."""
        return True

    def cures(self, trouble: Trouble) -> bool:
        """Of what stood before this apply: whether it is the cure of that refusal, so that only its taking effect is missing.

        An apply that was killed may have made it a minute ago, and nothing tells when it was made.
        """
        return False

    def effect(self, name: str) -> str:
        """What a change of this field brings about, in a few words; empty: it changes in place."""
        return ""

    @property
    def remark(self) -> str:
        """What to know before it is made or changed, and its fields don't say; empty: nothing."""
        return ""

    def diff_text(self, name: str, value: object) -> str:
        """How a field's value is shown in a plan; secrets are never fields that compare."""
        return str(value)

    def diff(self, name: str, live: Any, wanted: Any) -> tuple[tuple[str, str, str], ...]:
        """(label, live, wanted) for each part of a field that differs; kinds with large fields show them part by part.

        `wanted` is the wish with the late references put in that are known already.
        """
        return ((name, self.diff_text(name, live), self.diff_text(name, wanted)),)
