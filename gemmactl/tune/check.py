"""finetune check: what is wrong with the data, what is there twice, and how much is trained. Opens no cloud by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune_image.data.problem import Findings
from finetune_image.run import Wish
from gemmactl.errors import Exit
from gemmactl.result import Block, Facts, Item, Line, Result, Target
from gemmactl.tune.data_source import Places
from gemmactl.tune.data_upload import Prepared, PreparedData, resolve

SHOWN = 20
"""Faults on the screen; a document has all that are kept."""


def check(wish: Wish, places: Places, *, target: Target = "local") -> Result:
    """Exit 4 when a row can't be used."""
    data = resolve(wish.data, places, faults=True)
    files = [data.train, *([data.eval] if data.eval else [])]
    bad = any(one.rows.problems for one in files)
    return Result(
        "finetune check",
        _document(data, files),
        tuple(_blocks(data, files, bad=bad)),
        target=target,
        exit=Exit.REFUSED if bad else Exit.OK,
    )


def _blocks(data: PreparedData, files: list[Prepared], *, bad: bool) -> Iterator[Block]:
    yield Facts(tuple(_facts(data)), title=data.train.source.origin)
    for one in files:
        yield from _listed("!", "bad", one.rows.problems, "rows can't be used")
        yield from _listed("?", "warn", one.rows.conflicts, "rows ask what an earlier one asks and answer otherwise")
        yield from _listed("?", "warn", one.rows.control, "rows hold a control token")
        yield from _listed("=", "dim", one.rows.duplicates, "rows are there twice")
    for note in data.split.notes:
        yield Line(note, "dim")
    if bad:
        yield Line("no row is trained until each can be: correct the lines above, then check again", "bad")
    else:
        yield Line("every row can be used", "good")


def _facts(data: PreparedData) -> Iterator[tuple[str, str]]:
    rows, made = data.train.rows, data.split
    yield "form", rows.format or "none known"
    yield "columns", ", ".join(rows.columns)
    yield "rows", f"{rows.read:,} read, {len(rows.rows):,} can be used"
    yield "trained", f"{len(made.train):,}"
    source = f" of {data.eval.source.origin}" if data.eval else ""
    yield "held out", f"{len(made.eval):,}{source}"
    yield "sha256", data.train.sha256


def _listed(sign: str, tone: Any, found: Findings, what: str) -> Iterator[Block]:
    if not found:
        return
    more = found.count - min(len(found.kept), SHOWN)
    lines = [str(one) for one in found.kept[:SHOWN]] + ([f"and {more:,} more"] if more else [])
    yield Item(sign, f"{found.count:,} {what}", tuple(lines), tone)


def _document(data: PreparedData, files: list[Prepared]) -> dict[str, Any]:
    made = data.split
    return {
        "source": data.train.source.origin,
        "files": list(data.train.source.files),
        "sha256": data.train.sha256,
        "form": data.train.rows.format or None,
        "columns": list(data.train.rows.columns),
        "rows": {
            "read": data.train.rows.read,
            "usable": len(data.train.rows.rows),
            "trained": len(made.train),
            "held_out": len(made.eval),
        },
        "notes": list(made.notes),
        **{kind: _found(files, kind) for kind in ("problems", "duplicates", "conflicts", "control")},
    }


def _found(files: list[Prepared], kind: str) -> dict[str, Any]:
    each = [getattr(one.rows, kind) for one in files]
    return {
        "count": sum(found.count for found in each),
        "first": [{"file": one.file, "line": one.line, "reason": one.reason} for found in each for one in found],
    }
