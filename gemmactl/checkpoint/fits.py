"""On which GPUs a model fits, with which context and container: sizing's answer for a wish that names nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gemmactl.checkpoint import sizing
from gemmactl.checkpoint.generic_memory import architecture
from gemmactl.checkpoint.inspect import Report
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.too_large import gb
from gemmactl.errors import Trouble
from gemmactl.limits import GPUS, Gpu
from gemmactl.spec import Model, Serve
from inference_image.contract import ENV_QUANTIZE, INT8

QUANTIZED = f"--quantize {INT8}"
"""The flag that halves the weights."""


@dataclass(frozen=True)
class Fitting:
    """One GPU's answer. `need`: bytes with `at_once` requests of `context` tokens; `why`: the reason where it does not fit.

    `int8`: the answer with --quantize int8; None where it was not asked, or that does not fit either.
    """

    gpu: Gpu
    context: int = 0
    longest: int = 0
    at_once: int = 0
    need: int = 0
    cpu: int = 0
    memory: str = ""
    why: str = ""
    int8: Fitting | None = None

    @property
    def fits(self) -> bool:
        return not self.why

    def __str__(self) -> str:
        """For one line of a screen."""
        if not self.fits:
            return f"no: {self.why}" + (f"; with {QUANTIZED}: {self.int8}" if self.int8 else "")
        size = f"{gb(self.need)} of {gb(self.gpu.usable)}, {self.cpu} CPU, {self.memory}"
        return f"context {self.context} (up to {self.longest}), {self.at_once} at once, {size}"

    def document(self) -> dict[str, Any]:
        return {
            "gpu": self.gpu.name,
            "fits": self.fits,
            "context": self.context or None,
            "longest_context": self.longest or None,
            "parallel_sequences": self.at_once or None,
            "need_bytes": self.need or None,
            "usable_bytes": self.gpu.usable,
            "cpu": self.cpu or None,
            "memory": self.memory or None,
            "why": self.why or None,
            "with_int8": self.int8.document() if self.int8 else None,
        }


def weights_of(report: Report, *, images: bool = False) -> sizing.Weights | None:
    """What sizing must know; None for a model whose architecture gemmactl's engine does not serve. `images` are answered, too."""
    if not report.text or not report.weights.whole:
        return None
    return sizing.Weights(architecture(report.text, report.weights.vision if images else None), report.weights.load)


def fits(report: Report) -> tuple[Fitting, ...]:
    """Every GPU of Cloud Run, the smallest first; empty when nothing can be told."""
    weights = weights_of(report)
    if weights is None:
        return ()
    return tuple(_one(row, weights, report) for row in GPUS.values())


def _one(row: Gpu, weights: sizing.Weights, report: Report) -> Fitting:
    size = {"gpu_type": row.name, "cpu": row.default_cpu, "memory": row.default_memory}
    wish = replace(Serve("", row.regions[0], Model("dir", report.place), "model"), **size)  # type: ignore[arg-type]  # three fields of different types
    found = _sized(row, weights, report, wish)
    if not weights.shape.int8:
        return found
    small = _sized(row, weights, report, replace(wish, env=((ENV_QUANTIZE, INT8),)))
    return replace(found, int8=small if small.fits else None)


def _sized(row: Gpu, weights: sizing.Weights, report: Report, wish: Serve) -> Fitting:
    try:
        found = sizing.derive(wish, weights, report.weights.size, Room())
    except Trouble as trouble:
        return Fitting(row, why=trouble.why)
    fit = found.fit
    if fit is None:
        return Fitting(row, why="nothing is known of its size")
    return Fitting(row, fit.context, fit.longest, fit.at_once, fit.demand.total, found.wish.cpu, found.wish.memory)
