"""How a row of a refused request is written: its kind, and that no role helps. Knows no refusal."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import Category, FixKind
from gemmactl.doctor.row import CAUSE, Row

NO_GRANT: Final = ("any IAM grant",)
_TABLE: Final = r"-{3,}:? ?\| ?:?-{3,}"


def refused(
    code: str,
    subcategory: str,
    title: str,
    cause: str,
    remedy: str,
    *patterns: str,
    category: Category = "config",
    reasons: tuple[str, ...] = (),
    commands: tuple[str, ...] = (),
    fix_kind: FixKind = "config_change",
    only_with: str = "",
    unless: str = "",
    rank: int = 0,
    explains: tuple[str, ...] = (),
    not_fix: tuple[str, ...] = NO_GRANT,
    confidence: float = 0.85,
) -> Row:
    """A Row about a request that was read and refused. What is no cause is not looked for in a table of a handbook."""
    if rank != CAUSE:
        unless = f"{unless}|{_TABLE}" if unless else _TABLE
    return Row(
        code=code,
        category=category,
        subcategory=subcategory,
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        reasons=reasons,
        commands=commands,
        fix_kind=fix_kind,
        only_with=only_with,
        unless=unless,
        rank=rank,
        explains=explains,
        not_fix=not_fix,
        confidence=confidence,
    )
