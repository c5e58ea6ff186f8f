"""The kernel's events as lines, one for each event: for logs, CI and pipes. Knows no terminal."""

from __future__ import annotations

import threading
from typing import Final

from gemmactl.kernel.events import Detached, Done, Event, Failed, Log, Progress, Skipped, Started, Stopping
from gemmactl.ui.layout import Styled, fold
from gemmactl.ui.stream import Stream

DOING: Final = {
    "create": "creating",
    "update": "updating",
    "delete": "removing",
    "load": "loading",
    "copy": "copying",
    "train": "following",
}
DID: Final = {
    "create": "created",
    "update": "updated",
    "delete": "removed",
    "load": "loaded",
    "copy": "copied",
    "train": "trained",
}


def line(event: Event, verb: str = "") -> Styled:
    """One event in one line; `verb` is what the address was started with."""
    match event:
        case Started(address, said):
            return Styled(f"  {address}: {DOING.get(said, said)}")
        case Progress(address, text, _, detail):
            return Styled(f"  {address}: {text}{f' · {detail}' if detail else ''}", "dim")
        case Log(address, text):
            return Styled(f"  {address} | {text}", "dim")
        case Done(address, said, seconds):
            sign = {"delete": "-", "update": "~"}.get(said or verb, "+")
            return Styled(f"{sign} {address}: {DID.get(said or verb, 'done')} ({seconds:.0f} s)", "good")
        case Failed(address, trouble):
            return Styled(f"! {address}: {trouble.what}", "bad")
        case Skipped(address, because):
            return Styled(f"  {address}: not started ({because})", "warn")
        case Detached(address):
            return Styled(f"  {address}: goes on in the cloud", "warn")
        case Stopping(running):
            rest = f"waiting for {', '.join(running)}; Ctrl-C again to leave at once" if running else "nothing is under way"
            return Styled(f"! interrupted: nothing new is started; {rest}", "warn")


class Lines:
    """Events to a stream; says the same progress only once."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._last: dict[str, str] = {}
        self._verbs: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Started):
                self._verbs[event.address] = event.verb
            if isinstance(event, Progress):
                now = f"{event.text} {event.detail}"
                if self._last.get(event.address) == now:
                    return
                self._last[event.address] = now
            verb = "" if isinstance(event, Stopping) else self._verbs.get(event.address, "")
            self._stream.lines(fold(line(event, verb), self._stream.width))

    def stop(self) -> None:
        """Nothing to put away."""
