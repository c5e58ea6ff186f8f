"""The kernel's events on a terminal: finished steps stay, each running step has one line that moves. Imports rich."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from gemmactl.kernel.events import Detached, Done, Event, Failed, Log, Progress, Skipped, Started, Stopping
from gemmactl.scrub import scrub
from gemmactl.ui.layout import fold
from gemmactl.ui.progress import DOING, line
from gemmactl.ui.stream import Stream


@dataclass
class _Running:
    verb: str
    text: str = ""
    fraction: float | None = None
    detail: str = ""
    since: float = field(default_factory=time.monotonic)


FRAME: Final = 1 / 8
"""Seconds between two pictures."""
BAR: Final = 12
"""Columns of a bar."""


class Live:
    """One moving region at the foot of the screen; owner of all that is written to it."""

    def __init__(self, stream: Stream, frame: float = FRAME) -> None:
        from rich.live import Live as RichLive
        from rich.spinner import Spinner

        self._stream = stream
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._spinner = Spinner("dots")
        self._console = stream.console()
        # rich's own refresh thread would take its lock and then ours, a printing step ours and then rich's: they would wait
        # for each other for ever. And rich prints without its lock, which leaves rows of an older picture behind
        self._live = RichLive(console=self._console, get_renderable=self._picture, auto_refresh=False, transient=True)
        self._live.start()
        self._ended = threading.Event()
        self._painter = threading.Thread(target=self._paint, args=(frame,), name="live", daemon=True)
        self._painter.start()

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case Started(address, verb):
                    self._running[address] = _Running(verb)
                case Progress(address, text, fraction, detail):
                    step = self._running.setdefault(address, _Running(""))
                    step.text, step.fraction, step.detail = text, fraction, detail
                case Log(address, text):
                    self._running.setdefault(address, _Running("")).text = text
                case Done(address) | Failed(address) | Skipped(address) | Detached(address):
                    ended = self._running.pop(address, None)
                    self._keep(event, ended.verb if ended else "")
                case Stopping():
                    self._keep(event, "")

    def stop(self) -> None:
        self._ended.set()
        self._painter.join()
        with self._lock:
            self._live.stop()

    def _paint(self, frame: float) -> None:
        while not self._ended.wait(frame):
            with self._lock:
                self._live.refresh()

    def _keep(self, event: Event, verb: str) -> None:
        from rich.text import Text

        for styled in fold(line(event, verb), self._stream.width):
            style = {"good": "green", "bad": "red", "warn": "yellow"}.get(styled.tone, "")
            self._console.print(Text(scrub(styled.text), style=style))

    def _picture(self) -> Any:
        from rich.columns import Columns
        from rich.console import Group
        from rich.text import Text

        now = time.monotonic()
        lines = []
        for address, step in self._running.items():
            words = scrub(step.text) or DOING.get(step.verb, step.verb)
            # the seconds first: on 80 columns the end of a long address is cut
            text = Text(f"{now - step.since:3.0f} s  {address}: {words}", no_wrap=True, overflow="ellipsis")
            text.truncate(self._stream.width - 4, overflow="ellipsis")
            lines.append(Columns([self._spinner, text]))
            if step.detail:
                lines.append(_detail(step, self._stream.width))
        return Group(*lines)


def _detail(step: _Running, width: int) -> Any:
    """The second line of a step: how far it is, and what it tells beside."""
    from rich.text import Text

    text = Text(f"      {bar(step.fraction)}{scrub(step.detail)}", style="dim", no_wrap=True, overflow="ellipsis")
    text.truncate(width, overflow="ellipsis")
    return text


def bar(fraction: float | None, width: int = BAR) -> str:
    """`━━━━━━╌╌╌╌  60 %  `; empty where nobody knows how far it is."""
    if fraction is None:
        return ""
    fraction = min(1.0, max(0.0, fraction))
    done = round(fraction * width)
    return f"{'━' * done}{'╌' * (width - done)} {fraction:4.0%}  "
