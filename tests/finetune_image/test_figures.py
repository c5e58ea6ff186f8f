"""The figures of a run as a document."""

from __future__ import annotations

import json

from finetune_image.figures import Answer, Ended, Figures


def test_figures_survive_being_written() -> None:
    """What a run measured is the same after JSON: an attempt that only publishes has nothing else."""
    said = Answer("a?", "b", "b ")
    made = Figures(Ended.BUDGET, 7, 10, 1.5, 2.5, ((1, 3.0), (7, 1.0)), ((7, 1.5),), (said,), (said,), 2, 60.0, 0.5, {"rows": 4})
    assert Figures.parse(json.loads(made.text())) == made
    assert said.exact
