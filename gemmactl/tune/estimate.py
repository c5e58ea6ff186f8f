"""How long a fine-tune takes and what it costs, as ranges; attempts and hours that a budget needs. Pure; nothing was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.prices import Price

FLOPS: Final = {"nvidia-l4": 121e12}
"""Dense bfloat16 operations a second at most. source: NVIDIA's data sheet of the L4 (242 with sparsity)."""
SHARE: Final = (0.15, 0.40)
"""Which part of that a fine-tune reaches. 30 % is usual for bfloat16 with gradient checkpointing; no trustworthy number of an L4
with Gemma 3 was found, so the range is wide."""
NF4_SLOWER: Final = (0.6, 1.0)
"""4-bit weights are widened again for each pass. A guess: 0 to 40 % of the time."""
PER_TOKEN: Final = 6
"""Operations for each parameter and token: two forward, two for the gradients that pass through, two to compute the forward pass
again (gradient checkpointing). The base's own gradients, two more in full training, are not computed."""
MEASURED_WITHIN: Final = 0.15
"""How far a rate that this model had before is trusted."""
ONCE: Final = (120.0, 420.0)
"""Seconds beside the training: the image and the model come, a baseline is measured, merge and publish. A guess for up to 4B."""
PER_GB: Final = (8.0, 30.0)
"""Seconds for each GB of the model beyond that: read once, merged and written once. Merging was measured at 0.07 GB/s on two busy
cores (docs/bench/finetune-merge.md); a job's network is faster than its merge."""
AGAIN: Final = (60.0, 240.0)
"""Seconds that each further attempt loses: start, model, the steps after the last checkpoint."""
SLICE: Final = 3600
"""Longest attempt of a job with a GPU, in seconds. source: cloud.google.com/run/docs/configuring/task-timeout."""
RETRIES: Final = 3
RETRIES_MOST: Final = 10
"""source: cloud.google.com/run/docs/configuring/max-retries."""


@dataclass(frozen=True)
class Span:
    """From the least to the most that is expected."""

    least: float
    most: float

    def __mul__(self, factor: float) -> Span:
        return Span(self.least * factor, self.most * factor)

    def __add__(self, other: Span) -> Span:
        return Span(self.least + other.least, self.most + other.most)

    def document(self) -> list[float]:
        return [round(self.least, 2), round(self.most, 2)]


@dataclass(frozen=True)
class Estimate:
    """`rate`: tokens a second; `how`: where that is from, in one sentence. `usd` is None where no price is known."""

    tokens: int
    rate: Span
    seconds: Span
    usd: Span | None
    how: str

    @property
    def text(self) -> str:
        """`5 to 15 min, $0.10 to $0.27`."""
        return span_text(self.seconds) + (f", {money(self.usd)}" if self.usd else "")

    def document(self) -> dict[str, Any]:
        return {
            "tokens": self.tokens,
            "tokens_per_second": self.rate.document(),
            "seconds": self.seconds.document(),
            "usd": self.usd.document() if self.usd else None,
            "how": self.how,
        }


def estimate(
    parameters: int,
    tokens_per_epoch: int,
    epochs: float,
    quantize: str,
    hour: Price,
    gpu: str = "nvidia-l4",
    *,
    size: int = 0,
    measured: float | None = None,
) -> Estimate:
    """Of one run. `hour`: price of the container; `size`: bytes of the model; `measured`: tokens a second that it had before."""
    tokens = math.ceil(tokens_per_epoch * epochs)
    rate, how = _rate(parameters, quantize, gpu, measured)
    training = Span(tokens / rate.most, tokens / rate.least)
    beyond = max(0.0, size / 1e9 - 8.6)
    seconds = training + Span(*ONCE) + Span(*PER_GB) * beyond
    attempts = Span(math.ceil(seconds.least / SLICE) - 1, math.ceil(seconds.most / SLICE) - 1)
    seconds += Span(attempts.least * AGAIN[0], attempts.most * AGAIN[1])
    usd = None if hour.usd is None else seconds * (hour.usd / 3600)
    return Estimate(tokens, rate, seconds, usd, how)


def _rate(parameters: int, quantize: str, gpu: str, measured: float | None) -> tuple[Span, str]:
    if measured:
        how = f"{measured:,.0f} tokens/s, which this model had before with these settings"
        return Span(measured * (1 - MEASURED_WITHIN), measured * (1 + MEASURED_WITHIN)), how
    most = FLOPS.get(gpu, FLOPS["nvidia-l4"]) / (PER_TOKEN * max(parameters, 1))
    slower = NF4_SLOWER if quantize == "nf4" else (1.0, 1.0)
    how = f"{PER_TOKEN} operations for each parameter and token, {SHARE[0]:.0%} to {SHARE[1]:.0%} of {gpu}'s peak; not measured"
    return Span(most * SHARE[0] * slower[0], most * SHARE[1] * slower[1]), how


def retries(asked: int | None, hours: float | None, found: Estimate | None) -> int:
    """Attempts after the first that the job gets: as asked, else what max_hours or the estimate needs, between 3 and 10."""
    if asked is not None:
        return asked
    need = (hours * 3600 if hours is not None else found.seconds.most if found else 0.0) / SLICE
    return min(RETRIES_MOST, max(RETRIES, math.ceil(need) - 1))


def span_text(seconds: Span) -> str:
    """`5 to 15 min`, `1.2 to 3.5 h`."""
    if seconds.most < 90:
        return f"{seconds.least:.0f} to {seconds.most:.0f} s"
    if seconds.most < 5400:
        return f"{seconds.least / 60:.0f} to {math.ceil(seconds.most / 60)} min"
    return f"{seconds.least / 3600:.1f} to {seconds.most / 3600:.1f} h"


def money(usd: Span) -> str:
    """`$0.10 to $0.27`."""
    return f"${usd.least:,.2f} to ${max(usd.most, 0.01):,.2f}"
