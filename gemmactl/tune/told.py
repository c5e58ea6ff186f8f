"""What a run tells in METRICS, as one value: phase, steps, losses, rate, dollars, notes, end. Knows no place and no screen."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from finetune_image.contract import Kind

BARS: Final = "▁▂▃▄▅▆▇█"
LONGEST: Final = 300
"""Characters of a text from a run that are shown: it is data from outside."""


@dataclass(frozen=True)
class Told:
    """The newest of everything. Losses by step, in order; a step that was computed again counts once."""

    at: float = 0.0
    attempt: int = 0
    """The first is 1."""
    phase: str = ""
    step: int = 0
    max_steps: int = 0
    losses: tuple[float, ...] = ()
    held_out: float | None = None
    baseline: float | None = None
    best: float | None = None
    tokens: int = 0
    rate: float | None = None
    """Tokens a second, the median of what was measured in the newest attempt."""
    eta: float | None = None
    usd: float | None = None
    gpu_gb: float | None = None
    checkpoint: int = 0
    notes: tuple[str, ...] = ()
    end: str = ""
    """Why the newest attempt ended; empty while it runs."""
    code: str = ""
    curve: Mapping[int, float] = field(default_factory=dict, repr=False)
    """Step -> loss."""

    @property
    def fraction(self) -> float | None:
        return min(1.0, self.step / self.max_steps) if self.max_steps else None

    def document(self) -> dict[str, Any]:
        names = ("attempt", "phase", "step", "max_steps", "held_out", "baseline", "best", "tokens", "eta", "usd", "gpu_gb")
        known = {name: getattr(self, name) for name in names}
        loss = self.losses[-1] if self.losses else None
        return known | {
            "loss": loss,
            "tokens_per_second": self.rate,
            "notes": list(self.notes),
            "end": self.end,
            "code": self.code,
        }


def told(content: bytes | str | None) -> Told:
    """From the whole object; None and lines that can't be read are passed over."""
    found: dict[str, Any] = {}
    curve: dict[int, float] = {}
    rates: list[float] = []
    notes: list[str] = []
    for line in _lines(content):
        attempt = int(_number(line.get("attempt")) or 0)
        if attempt != found.get("attempt", attempt):
            rates.clear()
            found |= {"end": "", "code": "", "eta": None}
        found |= {"attempt": attempt, "at": _number(line.get("at")) or found.get("at", 0.0)}
        match line.get("kind"):
            case Kind.PHASE:
                found["phase"] = _text(line.get("phase"))
            case Kind.TRAIN:
                step = int(_number(line.get("step")) or 0)
                curve = {at: loss for at, loss in curve.items() if at < step}
                if (loss := _number(line.get("loss"))) is not None:
                    curve[step] = loss
                if rate := _number(line.get("tokens_per_s")):
                    rates.append(rate)
                found |= {"phase": "training", "step": step} | _some(line, tokens=int, max_steps=int, usd=float, gpu_gb=float)
                found["eta"] = _number(line.get("eta_s"))
            case Kind.EVAL:
                found |= {"held_out": _number(line.get("loss"))} | _some(line, baseline=float, best=float)
            case Kind.CHECKPOINT:
                found["checkpoint"] = int(_number(line.get("step")) or 0)
            case Kind.NOTE:
                notes.append(_text(line.get("text")))
            case Kind.END:
                found |= {"end": _text(line.get("why")), "code": _text(line.get("code"))} | _some(line, usd=float)
            case _:
                pass
    rate = sorted(rates)[len(rates) // 2] if rates else None
    known = tuple(dict.fromkeys(filter(None, notes)))
    return Told(**found, curve=curve, losses=tuple(curve[at] for at in sorted(curve)), rate=rate, notes=known)


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Numbers as bars of eight heights, the newest at the right; each bar is the mean of its part."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return ""
    parts = min(width, len(finite))
    ends = [round(len(finite) * i / parts) for i in range(parts + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in pairwise(ends)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)


def headline(now: Told) -> str:
    """`training 120/400 (attempt 2)`."""
    steps = f" {now.step}/{now.max_steps}" if now.phase == "training" and now.max_steps else ""
    return f"{now.phase or 'starting'}{steps}" + (f" (attempt {now.attempt})" if now.attempt > 1 else "")


def details(now: Told) -> str:
    """Loss with its curve, time left, dollars, held-out loss, rate: what is known of them, in one line whose end may be cut."""
    parts = []
    if now.losses:
        parts.append(f"loss {now.losses[-1]:.3f} {sparkline(now.losses, 16)}")
    if now.eta is not None and not now.end:
        parts.append(f"{span(now.eta)} left")
    if now.usd is not None:
        parts.append(f"${now.usd:.2f}" + ("" if now.end else " so far"))
    if now.held_out is not None:
        parts.append(f"held-out {now.held_out:.3f}" + (f" (before {now.baseline:.3f})" if now.baseline is not None else ""))
    if now.rate:
        parts.append(f"{now.rate:,.0f} tokens/s")
    return " · ".join(parts)


def span(seconds: float) -> str:
    """`45 s`, `12 min`, `1 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _lines(content: bytes | str | None) -> Iterator[dict[str, Any]]:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content or ""
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]  # a number by the line above


def _some(line: Mapping[str, Any], **kinds: type) -> dict[str, Any]:
    return {name: kind(found) for name, kind in kinds.items() if (found := _number(line.get(name))) is not None}


def _text(value: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value or ""))[:LONGEST]
