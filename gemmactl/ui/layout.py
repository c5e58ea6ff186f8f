"""Blocks -> styled lines of a given width. Pure: knows no stream, no colour and no rich."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gemmactl.errors import Trouble
from gemmactl.result import Block, Facts, Item, Line, Marked, Table, Tone, Verbatim

COMMANDS = ("gemmactl ", "gcloud ", "$ ", "pip ", "export ", "curl ")
"""A line that starts so is for copying: it is never wrapped."""
LAST = 20
"""Columns of the screen that a table's last one needs, to be wrapped in its place."""


@dataclass(frozen=True)
class Styled:
    """One line of a screen."""

    text: str
    tone: Tone = "plain"
    bold: bool = False
    marks: tuple[tuple[int, int], ...] = ()
    """Stretches of the text that stand out, from and to."""


def lay(blocks: tuple[Block, ...], width: int) -> Iterator[Styled]:
    """All blocks, an empty line between tables and facts and what follows."""
    for number, block in enumerate(blocks):
        if number and isinstance(block, Facts | Table | Marked) and block.title:
            yield Styled("")
        yield from _block(block, width)


def trouble(found: Trouble, width: int, sign: str = "error") -> Iterator[Styled]:
    """What, why, remedy. `sign`: error, or cause for what doctor knows about the error before it."""
    rows: tuple[tuple[str, str, Tone], ...] = (("why:    ", found.why, "plain"), ("remedy: ", found.remedy, "good"))
    yield from _wrap(f"{sign}: {found.what}", width, "bad" if sign == "error" else "warn", indent=7, bold=True)
    for label, text, tone in rows:
        for number, line in enumerate(text.splitlines()):
            yield from _wrap(f"  {label if number == 0 else ' ' * len(label)}{line}", width, tone, indent=10)


def fold(line: Styled, width: int) -> Iterator[Styled]:
    """One line of progress, what does not fit below it."""
    yield from _wrap(line.text, width, line.tone, indent=4, bold=line.bold)


def cells(text: str) -> int:
    """Columns that a text takes: East Asian wide characters take two."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def pad(text: str, width: int) -> str:
    return text + " " * max(0, width - cells(text))


def _block(block: Block, width: int) -> Iterator[Styled]:
    match block:
        case Line(text, tone):
            yield from _wrap(text, width, tone)
        case Verbatim(text):
            yield from (Styled(line) for line in text.splitlines())
        case Marked():
            yield from _marked(block)
        case Item(sign, head, lines, tone):
            yield from _wrap(f"{sign} {head}", width, tone, indent=2, bold=sign in "!-")
            for line in lines:
                yield from _wrap(f"    {line}", width, "plain", indent=6)
        case Facts(rows, title):
            if title:
                yield Styled(title, bold=True)
            left = max((cells(key) for key, _ in rows), default=0)
            for key, value in rows:
                yield from _wrap(f"  {pad(key, left)}  {value}", width, "plain", indent=left + 4)
        case Table():
            yield from _table(block, width)


def _marked(block: Marked) -> Iterator[Styled]:
    """Line by line as it is, not wrapped: where a line ends is part of what is shown."""
    if block.title:
        yield Styled(block.title, bold=True)
    text = "    "
    marks: list[tuple[int, int]] = []
    for piece, marked in block.pieces:
        for number, part in enumerate(piece.split("\n")):
            if number:
                yield Styled(text if text.strip() else "", marks=tuple(marks))
                text, marks = "    ", []
            if marked and part:
                marks.append((len(text), len(text) + len(part)))
            text += part
    if text.strip():
        yield Styled(text, marks=tuple(marks))


def _table(table: Table, width: int) -> Iterator[Styled]:
    """In columns as far as they fit; below each row, with their names, the cells of those that don't."""
    if table.title:
        yield Styled(table.title, bold=True)
    widths = [max(cells(row[i]) for row in (table.columns, *table.rows)) for i in range(len(table.columns))]
    ends = [sum(widths[: i + 1]) + 2 * i for i in range(len(widths))]
    fit = len(widths) if len(widths) < 2 or ends[-2] + 2 + LAST <= width else max(1, sum(end <= width for end in ends))
    left = max((cells(name) for name in table.columns[fit:]), default=0)
    for number, row in enumerate((table.columns, *table.rows)):
        line = "  ".join([*(pad(text, widths[i]) for i, text in enumerate(row[: fit - 1])), row[fit - 1]])
        yield from _wrap(line, width, "dim" if number == 0 else "plain", indent=ends[fit - 1] - widths[fit - 1])
        for name, text in zip(table.columns[fit:], row[fit:], strict=True):
            if number:
                yield from _wrap(f"    {pad(name, left)}  {text}", width, "plain", indent=left + 6)


def _wrap(text: str, width: int, tone: Tone, *, indent: int = 0, bold: bool = False) -> Iterator[Styled]:
    for line in text.splitlines() or [""]:
        # one long word is an address: it stays beside its name, and whole
        if cells(line) <= width or line.lstrip().startswith(COMMANDS) or " " not in line[indent:].strip():
            yield Styled(line, tone, bold)
            continue
        from textwrap import wrap

        hang = " " * min(indent, width // 2)
        for part in wrap(
            line, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        ):
            yield Styled(part, tone, bold)
