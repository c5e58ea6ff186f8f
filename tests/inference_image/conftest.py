"""Fixtures of the engine's tests: one loaded sample model per session, faults and waits without a clock."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from inference_image.chunks.source import Patience
from tests.inference_image.checkpoints import MODEL, SAMPLE

# Before torch is imported: on a shared machine a second OpenMP thread makes a step up to 15 times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def engine() -> Iterator[object]:
    """The sample model, loaded once."""
    from inference_image.engine import load
    from inference_image.settings import Settings

    loaded = load(Settings(model=str(MODEL), name="sample", threads=1), environ={})
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def examples() -> list[dict[str, str]]:
    """The sample model's own examples."""
    return json.loads((SAMPLE / "examples.json").read_text(encoding="utf-8"))


@pytest.fixture
def waits() -> list[float]:
    """The seconds that `patience` would have slept."""
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    """Five tries, no real waiting, half a second until a silent socket counts as dead."""
    return Patience(attempts=5, stall=0.5, sleep=waits.append, jitter=lambda: 1.0)
