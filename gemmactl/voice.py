"""How work talks while it runs: a contract that knows no screen; ui implements it, tests pass their own."""

from __future__ import annotations

from typing import Protocol

from gemmactl.kernel.events import Event
from gemmactl.result import Block, Target


class Voice(Protocol):
    """Talk goes to stderr, data to stdout; nobody but the implementation knows whether there is a terminal."""

    @property
    def streams(self) -> bool:
        """Whether `data` may be used: text format. With JSON the one document at the end is all."""

    def aim(self, target: Target) -> None:
        """Say once, before anything else, what is worked on: the sandbox's banner."""

    def say(self, *blocks: Block) -> None:
        """Talk, now."""

    def show(self, *blocks: Block) -> None:
        """A part of the screen that people decide on (a plan before its confirmation)."""

    def events(self, event: Event) -> None:
        """Progress of the kernel; from any thread."""

    def data(self, text: str) -> None:
        """A piece of the answer, untouched, to stdout."""

    def confirm(self, question: str, *, flag: str) -> bool:
        """Ask a person.

        Raises:
            Trouble: (usage) there is nobody to ask; `flag` says yes without asking.
        """

    def ask(self, question: str, *, instead: str, default: str = "") -> str:
        """A line of text from a person, stripped; an empty one is `default`.

        Raises:
            Trouble: (usage) there is nobody to ask; `instead` says it without asking.
        """

    def secret(self, question: str, *, instead: str) -> str:
        """Ask for a value without showing it; Trouble (usage) naming `instead` when there is nobody to ask."""
