"""The startup probe is derived from the size of the weights, within what Cloud Run accepts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmactl.checkpoint.budget import probe, seconds


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, 600), (0, 90), (2_000_000, 91), (8_600_000_000, 348), (24_000_000_000, 810), (60_000_000_000, 1800)],
)
def test_seconds(size: int | None, expected: int) -> None:
    """(30 + bytes / 100 MB/s) x 3, capped at 1800; ten minutes when the size is not known."""
    assert seconds(size) == expected


@given(st.one_of(st.none(), st.integers(0, 10**13)))
def test_every_probe_is_legal(size: int | None) -> None:
    """HTTP on /ready; each field at most 240, the timeout not above the period, the budget at most 1800 and never below need."""
    found = probe(size)
    assert (found.path, found.tcp, found.port, found.initial_delay) == ("/ready", False, 8080, 0)
    assert 1 <= found.timeout <= found.period <= 240
    assert found.failures >= 1
    assert seconds(size) <= found.budget <= 1800
