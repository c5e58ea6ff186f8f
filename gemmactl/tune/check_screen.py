"""What finetune check shows of what it saw, for people and for machines. Reads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from finetune_image.data.problem import Findings, Problem
from gemmactl.result import Block, Facts, Item, Line, Marked, Tone
from gemmactl.tune.data_upload import Prepared

if TYPE_CHECKING:
    from finetune_image.data.tokens import Lengths
    from gemmactl.tune.check import Checked

SHOWN: Final = 20
"""Kinds of faults on the screen, and lines of one kind; a document has all that are kept."""
ALIKE: Final = 3
ROW: Final = 3000
"""Characters of the first row on the screen."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NUMBER: Final = re.compile(r"[0-9]+")
_KINDS: Final = ("problems", "duplicates", "conflicts", "control")


def blocks(found: Checked) -> Iterator[Block]:
    """Facts, faults, the first row, lengths, one verdict."""
    yield Facts(tuple(_facts(found)), title=found.data.train.source.origin)
    for one in _files(found):
        yield from _listed("!", "bad", one.rows.problems, "can't be used")
        yield from _listed("?", "warn", one.rows.conflicts, "asked before, and answered otherwise")
        yield from _listed("?", "warn", one.rows.control, "with a control token in a text")
        yield from _listed("=", "dim", one.rows.duplicates, "there before, word for word")
    for note in found.data.split.notes:
        yield Item("=", note, (), "dim")
    if found.spoken:
        yield from _spoken(found)
    yield _verdict(found)


def document(found: Checked) -> dict[str, Any]:
    """The same for machines."""
    rows, split, spoken = found.data.train.rows, found.data.split, found.spoken
    return {
        "source": found.data.train.source.origin,
        "files": list(found.data.train.source.files),
        "sha256": found.data.train.sha256,
        "form": rows.format or None,
        "columns": list(rows.columns),
        "rows": {"read": rows.read, "usable": len(rows.rows), "trained": len(split.train), "held_out": len(split.eval)},
        "notes": [*split.notes, *(spoken.notes if spoken else ())],
        **{kind: _found(_files(found), kind) for kind in _KINDS},
        "base": spoken.base.document() if spoken and spoken.base else None,
        "first_row": [{"text": text, "learned": learned} for text, learned in found.shown],
        "lengths": {**asdict(found.lengths), "max_length": found.wish.train.max_length} if found.lengths else None,
        "estimate": found.estimate.document() if found.estimate else None,
        "refusal": {"what": found.refusal.what, "why": found.refusal.why} if found.refusal else None,
    }


def _files(found: Checked) -> list[Prepared]:
    return [found.data.train, *([found.data.eval] if found.data.eval else [])]


def _facts(found: Checked) -> Iterator[tuple[str, str]]:
    rows, made = found.data.train.rows, found.data.split
    yield "form", rows.format or "none known"
    if rows.columns:
        yield "columns", visible(", ".join(map(str, rows.columns)))
    yield "rows", f"{rows.read:,} read, {len(rows.rows):,} usable"
    source = f" of {found.data.eval.source.origin}" if found.data.eval else ""
    yield "split", f"{len(made.train):,} trained, {len(made.eval):,} held out{source}"


def _listed(sign: str, tone: Tone, found: Findings, what: str) -> Iterator[Block]:
    if not found:
        return
    yield Item(sign, f"{found.count:,} {'row' if found.count == 1 else 'rows'} {what}", tuple(_lines(found)), tone)


def _lines(found: Findings) -> Iterator[str]:
    """Of what is kept: three of each kind whole, the lines of its others, and how many more there are."""
    alike: dict[str, list[Problem]] = {}
    for one in found:
        alike.setdefault(_NUMBER.sub("", one.reason), []).append(one)
    for same in list(alike.values())[:SHOWN]:
        yield from (visible(str(one)) for one in same[:ALIKE])
        if others := same[ALIKE:]:
            named = ", ".join(str(one.line) for one in others[:SHOWN])
            yield f"the same in {'line' if len(others) == 1 else 'lines'} {named}{', ...' if len(others) > SHOWN else ''}"
    if (more := found.count - len(found.kept)) > 0:
        yield f"and {more:,} more after line {found.kept[-1].line:,}"


def _spoken(found: Checked) -> Iterator[Block]:
    spoken = found.spoken
    if spoken is None:
        return
    for note in spoken.notes:
        yield Item("?", note, (), "warn")
    if spoken.unfit:
        yield Item("?", spoken.unfit.what, (spoken.unfit.why, f"remedy: {spoken.unfit.remedy}"), "warn")
    if found.shown:
        marks = "learned: what is marked" if len(found.shown) > 1 else "learned: all of it"
        yield Marked(tuple(clipped(found.shown)), title=f"the first row as the model sees it ({marks})")
    if _touching(found):
        what = "the prompt ends and the answer begins with a letter: a base model reads them as one word"
        yield Item("?", what, ("end the prompt with a space or a line break, for example --prompt '{prompt}\\n'",), "warn")
    if found.lengths:
        yield Facts(tuple(_lengths(found, found.lengths)), title="tokens")


def _touching(found: Checked) -> bool:
    """Of a base model's plain text: `How many?SELECT` is what nobody means."""
    row = found.data.split.train[0] if found.data.split.train else {}
    if not found.spoken or found.spoken.words.chats or not isinstance(row.get("prompt"), str):
        return False
    return row["prompt"][-1:].isalnum() and str(row["completion"])[:1].isalnum()


def _lengths(found: Checked, seen: Lengths) -> Iterator[tuple[str, str]]:
    most, about = found.wish.train.max_length, "about " if seen.sampled or not seen.exact else ""
    how = f"a seeded sample of {seen.measured:,} rows; --full measures all" if seen.sampled else f"all {seen.rows:,} rows"
    yield "measured", how if seen.exact else f"{how}; estimated from bytes"
    yield "a row", f"{seen.middle:,} in the middle, 95 % up to {seen.most:,}, longest {seen.longest:,}"
    if seen.cut:
        lost = f"; {about}{seen.lost:,} of them lose their whole answer and are not trained" if seen.lost else ""
        yield "cut", f"{about}{seen.cut:,} rows are longer than {most:,} and lose their end{lost}: --max-length"
    else:
        yield "cut", f"none: --max-length is {most:,}"
    sequences = f"about {seen.sequences:,} sequence{'s' * (seen.sequences != 1)}"
    yield "an epoch", f"{about}{seen.tokens:,} tokens, {seen.learned:,} of them learned, in {sequences}"
    if found.spoken and found.spoken.base:
        yield "base", found.spoken.base.text
    if found.estimate:
        epochs = found.wish.train.epochs
        yield "estimate", f"{found.estimate.text} for {epochs:g} {'epoch' if epochs == 1 else 'epochs'}: {found.estimate.how}"


def _verdict(found: Checked) -> Block:
    if found.refusal:
        lines = (found.refusal.why, *(f"remedy: {line}" for line in found.refusal.remedy.splitlines()))
        return Item("!", found.refusal.what, lines, "bad")
    if found.faulty:
        return Line("nothing is trained until every row can be used: correct these lines, then check again", "bad")
    return Line("every row can be used", "good")


def clipped(pieces: tuple[tuple[str, bool], ...]) -> Iterator[tuple[str, bool]]:
    """Long pieces without their middle: how they begin and end is what matters."""
    share = max(200, ROW // max(1, len(pieces)))
    for text, learned in pieces[:40]:
        cut = len(text) - share
        short = text if cut <= 0 else f"{text[: share // 2]} [{cut:,} characters] {text[-share // 2 :]}"
        yield visible(short), learned


def visible(text: str) -> str:
    """Data never steers a terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _found(files: list[Prepared], kind: str) -> dict[str, Any]:
    each: list[Findings] = [getattr(one.rows, kind) for one in files]
    first = [{"file": one.file, "line": one.line, "reason": one.reason} for found in each for one in found]
    return {"count": sum(found.count for found in each), "first": first}
