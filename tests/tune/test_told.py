"""What the lines of a run add up to."""

import json

import pytest

from finetune_image.contract import Kind, metric
from gemmactl.tune.told import Told, details, headline, span, sparkline, told


def _train(step: int, loss: float, attempt: int = 1, **more: float) -> str:
    return metric(Kind.TRAIN, 100.0 + step, attempt, step=step, max_steps=40, loss=loss, **more)


def test_the_newest_of_everything_is_told() -> None:
    """Phase, steps, losses in order, rate, time left, dollars, held-out loss with its baseline."""
    lines = [
        metric(Kind.PHASE, 1.0, 1, phase="reading model"),
        _train(1, 3.0, tokens_per_s=900, eta_s=90, usd=0.01),
        metric(Kind.EVAL, 2.0, 1, step=1, loss=2.5, baseline=2.9, best=2.5),
        _train(2, 2.0, tokens_per_s=1000, eta_s=80, usd=0.02, tokens=512),
        metric(Kind.NOTE, 2.0, 1, text="3 rows left out"),
    ]
    now = told("\n".join(lines).encode())
    assert (now.phase, now.step, now.max_steps, now.losses, now.eta) == ("training", 2, 40, (3.0, 2.0), 80)
    assert (now.held_out, now.baseline, now.usd, now.tokens, now.notes) == (2.5, 2.9, 0.02, 512, ("3 rows left out",))
    assert headline(now) == "training 2/40"
    assert details(now) == "loss 2.000 █▁ · 80 s left · $0.02 so far · held-out 2.500 (before 2.900) · 1,000 tokens/s"


def test_what_has_ended_has_no_time_left() -> None:
    """Nor dollars so far: they are all."""
    lines = [metric(Kind.TRAIN, 1.0, 1, step=2, max_steps=2, loss=2.0, eta_s=0, usd=0.4)]
    assert details(told("\n".join(lines))).endswith("0 s left · $0.40 so far")
    lines.append(metric(Kind.END, 2.0, 1, why="done"))
    assert details(told("\n".join(lines))).endswith("▁ · $0.40")


def test_a_further_attempt_computes_steps_again() -> None:
    """What was lost is not shown twice, and the end of the attempt before is no end of the run."""
    lines = [_train(n, 5.0 - n) for n in (1, 2, 3)]
    lines += [metric(Kind.END, 200.0, 1, why="deadline"), _train(2, 2.9, 2), _train(3, 2.1, 2)]
    now = told("\n".join(lines))
    assert (now.losses, now.attempt, now.end) == ((4.0, 2.9, 2.1), 2, "")
    assert headline(now) == "training 3/40 (attempt 2)"
    assert told("\n".join(lines[:4])).end == "deadline"


def test_what_is_no_line_is_passed_over() -> None:
    """Half a line, a list, a loss that is no number, an unknown kind: data from outside, never a crash."""
    odd = [
        "{",
        "[1]",
        '{"kind": "train", "step": "x", "loss": "NaN"}',
        '{"kind": "later"}',
        json.dumps({"kind": "note", "text": "a\x1b[2Jb"}),
    ]
    assert told("\n".join(odd)).notes == ("a [2Jb",)
    assert (told(None), told(b"")) == (Told(), Told())


def test_a_loss_that_is_not_finite_draws_no_bar() -> None:
    """NaN and infinity are left out of the curve."""
    assert sparkline([1.0, float("nan"), 3.0, float("inf")]) == "▁█"


@pytest.mark.parametrize(("values", "width", "bars"), [([], 5, ""), ([2.0], 5, "▁"), ([1, 2, 3, 4], 2, "▁█"), ([3, 1], 9, "█▁")])
def test_a_sparkline_has_at_most_its_width(values: list[float], width: int, bars: str) -> None:
    """Longer series are averaged."""
    assert sparkline(values, width) == bars


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min"), (-3, "0 s")])
def test_a_time_left_has_one_unit_or_two(seconds: float, text: str) -> None:
    """Seconds, minutes, hours with minutes."""
    assert span(seconds) == text
