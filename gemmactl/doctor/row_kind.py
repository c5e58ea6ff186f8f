"""What the rows of one subject have in common, and a row from what it alone says. Knows no particular failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gemmactl.doctor.finding import Category, FixKind
from gemmactl.doctor.row import CAUSE, Row

LOGS: Final = "gcloud run services logs read {service} --region={region} --project={project} --limit=200"


@dataclass(frozen=True)
class RowKind:
    """`explains` is of every row, with `causes_only` of causes alone; `guess`: the confidence of what is no cause, if another.

    `looks`: whether what is to be diagnosed gets the command that shows the service's log.
    """

    category: Category
    fix_kind: FixKind = "config_change"
    confidence: float = 0.8
    guess: float | None = None
    explains: tuple[str, ...] = ()
    causes_only: bool = False
    looks: bool = False

    def __call__(
        self,
        code: str,
        family: str,
        title: str,
        cause: str,
        remedy: str,
        *patterns: str,
        category: Category | None = None,
        fix_kind: FixKind | None = None,
        rank: int = CAUSE,
        confidence: float | None = None,
        only_with: str = "",
        unless: str = "",
        commands: tuple[str, ...] = (),
        explains: tuple[str, ...] = (),
    ) -> Row:
        """One row, in the order in which a person reads it; what is not given is the subject's."""
        kind = fix_kind or self.fix_kind
        usual = self.confidence if rank == CAUSE or self.guess is None else self.guess
        return Row(
            code=code,
            category=category or self.category,
            subcategory=family,
            title=title,
            cause=cause,
            remedy=remedy,
            patterns=patterns,
            fix_kind=kind,
            rank=rank,
            only_with=only_with,
            unless=unless,
            commands=commands or ((LOGS,) if self.looks and kind == "diagnose" else ()),
            not_fix=("any IAM grant",),
            explains=() if self.causes_only and rank != CAUSE else (*self.explains, *explains),
            confidence=usual if confidence is None else confidence,
        )

    def of(
        self, code: str, category: Category, family: str, title: str, cause: str, remedy: str, *patterns: str, **more: object
    ) -> Row:
        """The same where each row names its category."""
        return self(code, family, title, cause, remedy, *patterns, category=category, **more)  # type: ignore[arg-type]  # its own, by name
