"""Loads of a small model through the process that reads, over a pretended store. Knows no fault and no checksum."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from inference_image.contract import LoadFailed
from inference_image.engine import Engine, load
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage, judge
from tests.inference_image.fake_storage import Bucket


def opened(address: str, timeline: Timeline, **given: Any) -> Engine:
    """Through the process that reads, as the container does it."""
    known = {"model": "gs://bucket/m", "threads": 1, "connections": 4, "chunk": 50_000, "reader": "process", "stall": 1}
    settings = Settings(**{**known, **given})
    return load(settings, environ={"STORAGE_EMULATOR_HOST": address}, timeline=timeline)


@contextmanager
def transformers_own(engine: Engine) -> Iterator[Any]:
    """The engine's model in transformers' own modules, over the same memory and with the same adapters."""
    model = judge.theirs(engine.steps.model)  # type: ignore[attr-defined]  # the slots' own
    model.set_attn_implementation("sdpa")
    yield model


def logits_of(engine: Engine) -> Any:
    import torch

    torch.manual_seed(0)
    with transformers_own(engine) as model, torch.inference_mode():
        return model(input_ids=torch.randint(6, 1024, (1, 80))).logits


@contextmanager
def loaded_from(bucket: Bucket, timeline: Timeline, **given: Any) -> Iterator[Engine]:
    """An engine over a pretended store."""
    with fake_storage.running(bucket) as address:
        engine = opened(address, timeline, **given)
    try:
        yield engine
    finally:
        engine.close()


def loaded(bucket: Bucket, reference: Any, **given: Any) -> dict[str, Any]:
    """The record of a load that must give the sample's very logits."""
    import torch

    timeline = Timeline()
    with fake_storage.running(bucket) as address:
        engine = opened(address, timeline, **given)
    try:
        assert torch.equal(logits_of(engine), reference)
    finally:
        engine.close()
    return timeline.record()


def refused(bucket: Bucket, **given: Any) -> LoadFailed:
    with fake_storage.running(bucket) as address, pytest.raises(LoadFailed) as failed:
        opened(address, Timeline(), **given).close()
    return failed.value


def read_of(bucket: Bucket, name: str) -> int:
    """Bytes of an object that were asked for; on a busy machine some are asked for again, and count once."""
    found = [re.fullmatch(r"bytes=(\d+)-(\d+)", headers["Range"]) for path, headers in bucket.asked if name in path]
    total = end = 0
    for begin, last in sorted((int(span[1]), int(span[2]) + 1) for span in found if span):
        total += max(0, last - max(begin, end))
        end = max(end, last)
    return total
