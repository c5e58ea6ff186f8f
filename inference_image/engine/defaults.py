"""Owns what generation_config.json says about sampling. Knows no request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference_image.engine.request import Sampling


def checkpoint_sampling(generation_config: Mapping[str, Any]) -> Sampling:
    """How the checkpoint wants to be sampled; greedy unless `do_sample` is true, as in transformers.

    A value that is no number of its range is left out: other servers read this file as well, so it stops no load.
    """

    def number(name: str, default: float, least: float, most: float) -> float:
        value = generation_config.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        return value if least <= value <= most else default

    # A penalty holds for a greedy answer, too.
    penalty = number("repetition_penalty", 1.0, 0.01, 10.0)
    if generation_config.get("do_sample") is not True:
        return Sampling(repetition_penalty=penalty)
    return Sampling(
        temperature=number("temperature", 1.0, 0.0, 2.0),
        top_p=number("top_p", 1.0, 1e-5, 1.0),
        top_k=int(number("top_k", 0, 0, 1 << 20)),
        min_p=number("min_p", 0.0, 0.0, 1.0),
        repetition_penalty=penalty,
    )
