"""One output stream: styled lines to text, with colours on a terminal. Decides about rich; knows no blocks."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

from gemmactl.scrub import scrub
from gemmactl.ui.layout import Styled

_STYLES: Final = {"plain": "", "good": "green", "warn": "yellow", "bad": "red", "dim": "dim"}

_MARK: Final = "bold green reverse"


@dataclass(frozen=True)
class Stream:
    """stdout or stderr as gemmactl uses it."""

    file: TextIO
    fancy: bool
    """A terminal that may be painted: then rich is imported."""

    @property
    def width(self) -> int:
        """Columns: the terminal's, at most 100. A pipe or a log is not wrapped: it is read by programs and searched."""
        return min(shutil.get_terminal_size((80, 24)).columns, 100) if self.file.isatty() else 1 << 16

    def lines(self, lines: Iterable[Styled]) -> None:
        """Write lines; a reader that has gone away is no error."""
        if self.fancy:
            self._paint(lines)
        else:
            self.file.write("".join(f"{scrub(_bracketed(line))}\n" for line in lines))
        self.file.flush()

    def raw(self, text: str) -> None:
        self.file.write(text)
        self.file.flush()

    def console(self) -> Any:
        """A rich console on this stream."""
        from rich.console import Console

        return Console(file=self.file, highlight=False, soft_wrap=True, width=self.width, legacy_windows=False)

    def _paint(self, lines: Iterable[Styled]) -> None:
        from rich.text import Text

        console = self.console()
        for line in lines:
            # Text, not markup: a log line with [brackets] is data
            text = Text(scrub(line.text), style=f"{'bold ' if line.bold else ''}{_STYLES[line.tone]}".strip())
            if text.plain == line.text:  # what was scrubbed has other places
                for begin, end in line.marks:
                    text.stylize(_MARK, begin, end)
            console.print(text)


def _bracketed(line: Styled) -> str:
    text = line.text
    for begin, end in reversed(line.marks):
        text = f"{text[:begin]}[[{text[begin:end]}]]{text[end:]}"
    return text


def open_stream(file: TextIO, environ: Mapping[str, str]) -> Stream:
    """Colours only for a person at a capable terminal; NO_COLOR is honoured by rich itself (it keeps bold)."""
    return Stream(file, file.isatty() and environ.get("TERM") != "dumb" and not environ.get("CI") and not environ.get("NO_COLOR"))
