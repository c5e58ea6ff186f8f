"""Greedy answers through a schedule of its own, as the engine's thread would have them computed. Knows no request and no text."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from inference_image.engine.schedule import Running, Schedule, Steps


def likeliest(logits: Any, rows: Sequence[Running]) -> list[int]:
    return logits.argmax(-1).tolist()


def greedily(steps: Steps, sequences: Sequence[Running], ended: Callable[[list[int]], bool], chunk: int = 512) -> list[list[int]]:
    """The tokens of each sequence, until what it has so far is `ended`; first come, first served."""
    schedule, waiting = Schedule(steps, likeliest, chunk), deque(sequences)
    while waiting or schedule.running:
        schedule.free()
        for one in schedule.decode() + schedule.read(lambda: waiting.popleft() if waiting else None):
            one.ended = ended(one.tokens)
    return [one.tokens for one in sequences]
