"""How long a plan takes, phase by phase, with where each number is from. Estimates all; knows no clock and no cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.checkpoint import budget, vllm_sizing
from gemmactl.checkpoint.sizing import Sizing
from gemmactl.kernel.plan import Op, Plan, Step
from gemmactl.resources.model_files import ModelFiles
from gemmactl.resources.service import REVISION

BUILD: Final = 540.0
"""Seconds. source: GoogleCloudPlatform/accelerated-platforms pull request 128 (2025-03): a fine-tuning image, torch with CUDA as
this one, in about 8:40 on the same machine type, e2-highcpu-8. Not measured with this image."""
SETTLING: Final = (0.0, 420.0)
"""Seconds until a grant is seen everywhere. source: Google's "Access change propagation": typically 2 minutes, 7 or more are
seen."""
USUAL: Final = 10 * budget.RATE
"""Bytes a second that a bucket of the region usually delivers; budget.RATE is what any delivers."""


@dataclass(frozen=True)
class Phase:
    """A part of an apply that somebody waits for. Seconds; None: nobody can say."""

    name: str
    least: float | None
    most: float | None
    note: str = ""

    def __str__(self) -> str:
        if self.least is None or self.most is None:
            return f"{self.name}: {self.note}"
        return f"{self.name} {span(self.least, self.most)}{f' ({self.note})' if self.note else ''}"

    def document(self) -> dict[str, Any]:
        return {"phase": self.name, "least_seconds": self.least, "most_seconds": self.most, "note": self.note}


def start(sizing: Sizing) -> tuple[float, float] | None:
    """Seconds of a cold start, least and most; None where nothing is known of the model or of the server."""
    size, wish = sizing.size, sizing.wish
    if size is None or wish.stranger:
        return None
    base = vllm_sizing.START if wish.engine == "vllm" else budget.BASE
    return base + size / USUAL, base + size / budget.RATE


def phases(plan: Plan, begin: tuple[float, float] | None) -> tuple[Phase, ...]:
    """What an apply of the plan waits for, in its order; empty: there is nothing to do. `begin`: what `start` says."""
    return tuple(_phases(plan, begin))


def _phases(plan: Plan, begin: tuple[float, float] | None) -> Iterator[Phase]:
    if any(step.resource.settles for step in plan.work):
        yield Phase("permissions", *SETTLING)
    if size := sum(map(_upload, plan.work)):
        yield Phase("upload", None, None, f"{_size(size)}, as fast as your line")
    if any(step.resource.kind == "image" for step in plan.work):
        yield Phase("build", BUILD, BUILD, "first time only")
    if any(_rolls(step) for step in plan.work):
        yield Phase("start", *begin) if begin else Phase("start", None, None, "not known, nothing is known of the load")


def total(found: tuple[Phase, ...]) -> str:
    """All of them in words: `10 to 18 min`, with what nobody can say beside it."""
    told = [(p.least, p.most) for p in found if p.least is not None and p.most is not None]
    untold = [p.name for p in found if p.least is None or p.most is None]
    if not told:
        return f"{' and '.join(untold)}: not known" if untold else "some seconds"
    beside = f" and the {' and the '.join(untold)}" if untold else ""
    return f"{span(sum(low for low, _ in told), sum(high for _, high in told))}{beside}"


def document(found: tuple[Phase, ...]) -> dict[str, Any]:
    """For machines. The sums leave out what nobody can say."""
    return {
        "least_seconds": sum(p.least or 0.0 for p in found),
        "most_seconds": sum(p.most or 0.0 for p in found),
        "phases": [p.document() for p in found],
    }


def span(least: float, most: float) -> str:
    """`about 9 min`, `1 to 2 min`, `31 to 45 s`."""
    unit, word = (60.0, "min") if most >= 90 else (1.0, "s")
    low, high = (max(1 if seconds else 0, round(seconds / unit)) for seconds in (least, most))
    return f"about {high} {word}" if low == high else f"{low} to {high} {word}"


def _upload(step: Step) -> int:
    """Bytes that the step sends from this machine."""
    wanted, live = step.resource, step.live
    if not isinstance(wanted, ModelFiles) or wanted.model is None:
        return 0
    stale = live.stale if isinstance(live, ModelFiles) else None
    return sum(f.size for f in wanted.model.files if stale is None or f.name in stale)


def _rolls(step: Step) -> bool:
    """Whether an instance must start for it."""
    return step.resource.kind == "service" and (step.op is Op.CREATE or any(c.effect == REVISION for c in step.changes))


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
