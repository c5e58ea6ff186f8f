"""Where findings are collected while a model is looked through, in the order in which they were made. Judges nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gemmactl.checkpoint.finding import Correction, ModelFinding, Severity
from inference_image import layout
from inference_image.contract import Code, LoadFailed

T = TypeVar("T")
LONGEST = 300
PULL = "run git lfs pull where the folder was cloned; a copy of pointers only makes more of them"


class Ledger:
    """Findings of one look; owned by one thread."""

    def __init__(self) -> None:
        self._rows: list[ModelFinding] = []

    def add(
        self,
        code: str,
        severity: Severity,
        subject: str,
        what: str,
        *,
        evidence: str = "",
        remedy: str = "",
        refusal: Code | None = None,
        correction: Correction | None = None,
    ) -> None:
        """One finding; what files said is shown as plain text on one line."""
        self._rows.append(ModelFinding(code, severity, plain(subject), plain(what), plain(evidence), remedy, refusal, correction))

    def refuse(
        self,
        failed: LoadFailed,
        *,
        remedy: str,
        code: str = "",
        what: str = "",
        correction: Correction | None = None,
        by_engine: bool = True,
    ) -> None:
        """An error with its detail as the evidence. `by_engine`: the engine would end with it too, with that code."""
        failure = failed.failure
        if failure.detail == layout.POINTED:
            remedy = PULL  # whatever file it is, and wherever it lies
        self.add(
            code or str(failure.code).replace("_", "-"),
            "error",
            failure.object,
            what or f"{failure.object}: {failure.detail}",
            evidence=failure.detail if what else "",
            remedy=remedy,
            refusal=failure.code if by_engine else None,
            correction=correction,
        )

    def attempt(self, check: Callable[[], T], *, remedy: str, code: str = "", what: str = "", by_engine: bool = True) -> T | None:
        """What a check of the engine's own layout gives; None when it refuses, and the refusal is a finding."""
        try:
            return check()
        except LoadFailed as failed:
            self.refuse(failed, remedy=remedy, code=code, what=what, by_engine=by_engine)
            return None

    def follow(self, other: Ledger) -> None:
        """What another look found meanwhile, after everything found here."""
        self._rows += other._rows

    @property
    def findings(self) -> tuple[ModelFinding, ...]:
        return tuple(self._rows)

    @property
    def errors(self) -> bool:
        return any(row.severity == "error" for row in self._rows)


def plain(text: str) -> str:
    """Text from files for one line of a screen: printable, and not endless."""
    flat = "".join(char if char.isprintable() else " " for char in text)
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 3] + "..."
