"""Owns what a run measured, as report, DONE and the plot read it. Standard library only; knows neither a trainer nor a place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Ended(StrEnum):
    """Why training stopped, of a run that has a result."""

    STEPS = "steps"
    """All steps were trained."""
    PATIENCE = "patience"
    """The held-out loss got no better for stop.patience evaluations."""
    BUDGET = "budget"
    """max_usd or max_hours: the rest of it was kept for evaluating, merging and publishing."""


@dataclass(frozen=True)
class Answer:
    """What a model said to one held-out row: text, text, text."""

    prompt: str
    wanted: str
    given: str

    @property
    def exact(self) -> bool:
        return self.given.strip() == self.wanted.strip()


@dataclass(frozen=True)
class Figures:
    """`step` of `max_steps`: which weights the result is. Losses in nats per trained token, over the held-out rows; None: none.

    `curve`, `held_out`: (step, loss) by step, of training and of the held-out rows. `seconds`, `usd`: of all attempts until the
    result was there, merging and publishing not among them; None where the price is not known. `stats`: what the trainer says of
    itself (rows, tokens, micro-batch, quantisation, device), flat.
    """

    ended: Ended
    step: int
    max_steps: int
    loss: float | None = None
    baseline: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    held_out: tuple[tuple[int, float], ...] = ()
    before: tuple[Answer, ...] = ()
    after: tuple[Answer, ...] = ()
    attempts: int = 1
    seconds: float = 0.0
    usd: float | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON; `parse` reads it back."""
        return asdict(self)

    @staticmethod
    def parse(made: Mapping[str, Any]) -> Figures:
        """Raises ValueError, TypeError, KeyError for what is none."""
        pairs = {k: tuple((int(step), float(loss)) for step, loss in made[k]) for k in ("curve", "held_out")}
        answers = {k: tuple(Answer(**one) for one in made[k]) for k in ("before", "after")}
        return Figures(**{**made, **pairs, **answers, "ended": Ended(made["ended"])})

    def text(self) -> str:
        return json.dumps(self.document()) + "\n"
