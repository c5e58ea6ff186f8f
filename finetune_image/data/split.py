"""Owns which rows are trained on and which are held out: limit, seed, share, and that no row is on both sides. Knows no file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.data.order import permutation
from finetune_image.data.rows import Row, Rows, key, read, refuse
from finetune_image.run import Data

MOST_HELD_OUT: Final = 200
"""Rows that are enough for a stable loss; more cost time at each evaluation."""


@dataclass(frozen=True)
class Split:
    """`train` in the order of the file, or of the seed where `limit` chose; `lines` has their lines. `notes` are for the user."""

    train: tuple[Row, ...]
    eval: tuple[Row, ...]
    lines: tuple[int, ...]
    eval_lines: tuple[int, ...]
    format: str
    notes: tuple[str, ...] = ()


def load(train: Path, data: Data, own: Path | None = None) -> Split:
    """The rows of a run. `own`: the file of the held-out rows, where the user has one.

    Raises:
        TuneFailed: (data_invalid) a row that can't be used; (settings_invalid); (data_not_found).
    """
    rows = read(train, data)
    refuse(rows)
    held = read(own, data) if own else None
    if held:
        refuse(held)
    return require(split(rows, data, held), train.name)


def require(made: Split, name: str) -> Split:
    """Raises TuneFailed(data_invalid) where no row is left to train."""
    if made.train:
        return made
    raise TuneFailed(
        Code.DATA_INVALID,
        name,
        "no row is left to train: all say the same as held-out ones",
        "take other held-out rows: --eval FILE, or a share such as --eval 0.05",
    )


def split(rows: Rows, data: Data, own: Rows | None = None) -> Split:
    """Choose among the good rows of a file; `own`: held-out rows from a file of their own.

    A share holds out at most MOST_HELD_OUT rows, and none when it is less than one row. What is held out is never trained, even
    where it stands twice.
    """
    order = list(range(len(rows.rows)))
    notes = list(rows.notes)
    if data.limit is not None and data.limit < len(order):
        # the codelab's dataset.shuffle(seed=42).select(range(limit))
        order = permutation(data.shuffle_seed, len(order))[: data.limit]
        notes.append(f"{data.limit:,} of {len(rows.rows):,} rows, chosen with seed {data.shuffle_seed}")
    keys = {at: key(rows.rows[at]) for at in order}
    if own is not None:
        held, eval_rows, eval_lines = {key(row) for row in own.rows}, tuple(own.rows), tuple(own.lines)
    else:
        picked = _held_out(order, keys, data)
        held = {keys[at] for at in picked}
        eval_rows, eval_lines = tuple(rows.rows[at] for at in picked), tuple(rows.lines[at] for at in picked)
        share = data.eval if isinstance(data.eval, float) else 0.0
        if share and order and not picked:
            few = f"too few rows to hold any out: {share:g} of {len(order)} is less than one"
            alike = "no row is held out: all say the same, and none would be left to train"
            notes.append(few if share * len(order) < 1 else alike)
    kept = [at for at in order if keys[at] not in held]
    away = len(order) - len(kept) - (0 if own is not None else len(eval_rows))
    if away:
        notes.append(f"{away:,} rows are not trained: they say the same as held-out ones")
    return Split(
        tuple(rows.rows[at] for at in kept),
        eval_rows,
        tuple(rows.lines[at] for at in kept),
        eval_lines,
        rows.format,
        tuple(notes),
    )


def _held_out(order: list[int], keys: dict[int, object], data: Data) -> list[int]:
    """Seeded, each row once, in the order of the file; never so many that nothing is left to train."""
    share = data.eval if isinstance(data.eval, float) else 0.0
    wanted = min(int(share * len(order) + 1e-9), MOST_HELD_OUT)
    chosen: dict[object, int] = {}
    if wanted:
        for place in permutation(data.shuffle_seed + 1, len(order)):
            at = order[place]
            chosen.setdefault(keys[at], at)
            if len(chosen) == wanted:
                break
    if len(chosen) == len(set(keys.values())):
        return []
    return sorted(chosen.values())
