"""Time and money of a fine-tune before it is started."""

import pytest

from gemmactl import prices
from gemmactl.prices import Certainty, Price
from gemmactl.tune.estimate import Estimate, Span, estimate, retries, span_text

HOUR = prices.per_hour("nvidia-l4", 4, 16, "us-central1")
FOUR_B = 4_300_000_000


def _of(tokens: int, epochs: float = 1, quantize: str = "none", parameters: int = FOUR_B, **more: float) -> Estimate:
    return estimate(parameters, tokens, epochs, quantize, HOUR, **more)  # type: ignore[arg-type]  # size and measured


def test_the_usual_rate_lies_in_the_range() -> None:
    """30 % of 121 TFLOPS over 6 operations for each parameter: about 1,400 tokens/s for 4B, 500 for 12B."""
    assert _of(1000).rate.least < 0.3 * 121e12 / 6 / FOUR_B < _of(1000).rate.most
    assert _of(1000, quantize="nf4", parameters=12_000_000_000).rate.least < 500


def test_a_small_run_is_minutes_and_cents() -> None:
    """The codelab's thousand rows of 120 tokens: well under an hour, well under a dollar."""
    found = _of(120_000)
    assert found.usd is not None
    assert (found.seconds.most < 1200, found.usd.most < 0.5, found.usd.least > 0.03) == (True, True, True)
    assert found.text.endswith(f"${found.usd.most:.2f}")


def test_more_epochs_cost_more_and_4_bit_is_no_promise_of_speed() -> None:
    """Three epochs are three times the tokens; NF4's lower bound is lower, its upper bound the same."""
    one, three, four_bit = _of(10_000_000), _of(10_000_000, 3), _of(10_000_000, quantize="nf4")
    assert three.tokens == 3 * one.tokens
    assert three.seconds.most > 2.5 * one.seconds.most
    assert (four_bit.rate.most, four_bit.rate.least < one.rate.least) == (one.rate.most, True)


def test_a_measured_rate_replaces_the_guess() -> None:
    """The range is then narrow, and the sentence says where it is from."""
    found = _of(1_000_000, measured=1200.0)
    assert (found.rate.least, found.rate.most) == (pytest.approx(1020), pytest.approx(1380))
    assert "before" in found.how


def test_what_does_not_fit_into_an_hour_pays_for_further_starts() -> None:
    """Each further attempt costs a start."""
    rate = _of(1).rate
    short, long = _of(int(rate.most * 1000)), _of(int(rate.most * 20_000))
    assert long.seconds.least > 20_000 + 120 + 5 * 60 - 1
    assert short.seconds.least == pytest.approx(1120, abs=1)


def test_a_larger_model_takes_longer_beside_its_training() -> None:
    """Each GB beyond a 4B's is read, merged and written."""
    small, large = (_of(1_000_000, size=int(gigabytes * 1e9)) for gigabytes in (8.6, 24.6))
    assert large.seconds.least - small.seconds.least == pytest.approx(16 * 8)
    assert large.rate == small.rate


def test_an_unknown_price_is_not_invented() -> None:
    """No dollars then, time all the same."""
    found = estimate(FOUR_B, 1000, 1, "none", Price(None, Certainty.UNKNOWN))
    assert (found.usd, "$" in found.text) == (None, False)


@pytest.mark.parametrize(
    ("asked", "hours", "most", "wanted"),
    [(None, None, 600, 3), (0, 9, 600, 0), (None, 3, 600, 3), (None, 6, 600, 5), (None, 40, 600, 10), (None, None, 20_000, 5)],
)
def test_attempts_are_what_the_hours_need(asked: int | None, hours: float | None, most: float, wanted: int) -> None:
    """As asked; else one attempt for each hour of max_hours, or of the estimate; never fewer than 4 nor more than 11."""
    assert retries(asked, hours, Estimate(1, Span(1, 1), Span(1, most), None, "")) == wanted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(Span(5, 80), "5 to 80 s"), (Span(120, 899), "2 to 15 min"), (Span(3600, 9000), "1.0 to 2.5 h")],
)
def test_spans_are_told_in_the_unit_that_fits(seconds: Span, text: str) -> None:
    """Seconds, minutes, hours."""
    assert span_text(seconds) == text
