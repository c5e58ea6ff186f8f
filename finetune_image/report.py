"""Owns the report beside a published model: figures, curve, answers, settings, lineage, licence. Text of models and data is data.

Standard library, and matplotlib when a curve is drawn. Knows no place.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from finetune_image.contract import CURVE
from finetune_image.figures import Answer, Ended, Figures

_LONGEST: Final = 600
"""Characters of a sample that are shown."""
_ENDED: Final = {
    Ended.STEPS: "all steps were trained",
    Ended.PATIENCE: "the held-out loss got no better",
    Ended.BUDGET: "the budget was spent",
}
_MARKS: Final = {mark: f"\\{mark}" for mark in "\\`*_[]|~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINKS: Final = re.compile(r"(?i)(?<=https)(:)(?=//)|(?<=http)(:)(?=//)|(?<=ftp)(:)(?=//)|(?<=www)(\.)")
"""What GitHub makes a link of by itself, at the character that can be written as a number."""
_TRAINING, _HELD_OUT, _LINES = "#4285f4", "#d93025", "#dadce0"


def markdown(
    figures: Figures, lineage: Mapping[str, Any], fingerprint: Mapping[str, Any], *, merged_loss: float | None = None,
    picture: bool = False,
) -> str:  # fmt: skip
    """report.md. `merged_loss`: held-out, of the merged weights; None: not measured. `picture`: CURVE lies beside it."""
    parts = (
        f"# {plain(lineage['name'])}, run `{lineage['run_id']}`",
        f"Fine-tuned from `{code(lineage['base']['uri'])}` with LoRA by gemmactl. {_ended(figures)}.",
        "## Figures",
        _table(("figure", "value"), _figures(figures, merged_loss)),
        f"![Loss by step]({CURVE.rpartition('/')[2]})" if picture else "",
        *_answers(figures),
        "## Settings",
        _block(json.dumps(lineage["settings"], indent=1, sort_keys=True, ensure_ascii=False), "json"),
        "## Lineage",
        _table(("what", "which"), _lineage(lineage)),
        "## Fingerprint",
        "SHA-256 of every file of weights; the first is one over all of them.",
        _table(
            ("file", "SHA-256"),
            [("all weights", fingerprint["weights"]), ("the adapter", fingerprint["adapter"]), *fingerprint["files"].items()],
        ),
        "## Licence",
        _licence(str(lineage["base"]["uri"])),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: object, most: int = _LONGEST) -> str:
    """Text from outside as Markdown that shows it and means nothing: no tag, no link, no mark; lines stay lines of a cell."""
    cut = str(text)
    cut = cut if len(cut) <= most else f"{cut[: most - 1]}…"
    lines = ("".join(char if char.isprintable() else " " for char in line).strip() for line in cut.strip().splitlines())
    escaped = ("".join(_MARKS.get(char, char) for char in line) for line in lines)
    return "<br>".join(_LINKS.sub(lambda found: f"&#{ord(found[0])};", line) for line in escaped)


def code(text: object) -> str:
    """Text for between two backticks."""
    return "".join(char for char in str(text) if char.isprintable() and char not in "`|")[:_LONGEST]


def _ended(figures: Figures) -> str:
    return f"Step {figures.step} of {figures.max_steps}: {_ENDED[figures.ended]}"


def _figures(figures: Figures, merged_loss: float | None) -> list[tuple[str, str]]:
    rows = [("steps", f"{figures.step} of {figures.max_steps}")]
    if figures.baseline is not None:
        rows.append(("held-out loss of the base", f"{figures.baseline:.4f}"))
    if figures.loss is not None:
        better = f" ({figures.loss / figures.baseline - 1:+.0%})" if figures.baseline else ""
        rows.append(("held-out loss of the adapter", f"{figures.loss:.4f}{better}"))
    rows.append(("held-out loss of the merged weights", "not measured" if merged_loss is None else f"{merged_loss:.4f}"))
    for name, answers in (("base", figures.before), ("tuned model", figures.after)):
        if answers:
            exact = sum(one.exact for one in answers)
            rows.append((f"exact answers of the {name}", f"{exact} of {len(answers)} shown below"))
    rows.append(("attempts", str(figures.attempts)))
    rows.append(("time until the result", _time(figures.seconds)))
    rows.append(
        ("cost until the result", "not known" if figures.usd is None else f"${figures.usd:.2f}, an estimate by list price")
    )
    return rows + [(str(name).replace("_", " "), str(value)) for name, value in figures.stats.items() if value is not None]


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _answers(figures: Figures) -> Iterable[str]:
    """What both models said to the same held-out rows."""
    if not figures.after:
        return
    yield "## Answers to held-out rows"
    for number, (after, before) in enumerate(zip_longest(figures.after, figures.before[: len(figures.after)]), 1):
        yield f"### {number}"
        yield _table(("", ""), [("asked", after.prompt), ("wanted", after.wanted), *_given(before, after)])


def _given(before: Answer | None, after: Answer) -> Iterable[tuple[str, str]]:
    if before is not None:
        yield "base said", before.given
    yield f"tuned model said{' (exact)' if after.exact else ''}", after.given


def _lineage(lineage: Mapping[str, Any]) -> list[tuple[str, str]]:
    base, data = lineage["base"], lineage["data"]
    rows = [("base", base["uri"]), ("base's fingerprint", base["fingerprint"])]
    for kind in ("train", "eval"):
        if data[kind]:
            count = f", {data[kind]['rows']} rows" if data[kind].get("rows") else ""
            rows += [(f"data ({kind})", f"{data[kind]['uri']}{count}"), (f"SHA-256 of it ({kind})", data[kind]["sha256"])]
    rows += [("identity of the run", lineage["identity"]), ("made by", lineage["made_by"])]
    versions = ", ".join(f"{name} {version}" for name, version in lineage["libraries"].items())
    return [(name, str(value)) for name, value in (*rows, ("libraries", versions)) if value]


def _licence(base: str) -> str:
    return (
        f"These weights are a modified version of {plain(base)} and stay under the licence of that model. For Gemma 1, 2, 3 and "
        "3n: Gemma is provided under and subject to the Gemma Terms of Use found at <https://ai.google.dev/gemma/terms>; whoever "
        "passes these weights on, or offers them as a service, passes these terms and the prohibited-use policy on with them, "
        "and says that they were changed. The training data may have terms of its own."
    )


def _table(head: Sequence[str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {plain(name)} | {plain(value)} |" for name, value in rows)])


def _block(text: str, kind: str) -> str:
    """A fence that is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{kind}\n{text}\n{fence}"


def curve(figures: Figures) -> bytes | None:
    """The loss by step as a PNG of 1600 x 900; None where there is no step to draw, or no matplotlib to draw it."""
    if not figures.curve and not figures.held_out:
        return None
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return None

    picture = Figure(figsize=(8, 4.5), dpi=200, layout="constrained")
    axes = picture.subplots()
    if figures.curve:
        axes.plot(*zip(*figures.curve, strict=True), color=_TRAINING, linewidth=1.4, label="training")
    if figures.held_out:
        axes.plot(
            *zip(*figures.held_out, strict=True), color=_HELD_OUT, linewidth=1.4, marker="o", markersize=4, label="held out"
        )
    if figures.baseline is not None:
        axes.axhline(figures.baseline, color=_HELD_OUT, linewidth=1, linestyle=":", label="held out, base")
    axes.axvline(figures.step, color="#5f6368", linewidth=1, linestyle="--", label=f"published: step {figures.step}")
    axes.set(xlabel="step", ylabel="loss, nats per trained token", xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=_LINES, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    made = io.BytesIO()
    picture.savefig(made, format="png", metadata={"Software": "gemmactl"})
    return made.getvalue()
