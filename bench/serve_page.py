"""The page of the engine's benchmark. Knows figures, measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bench.load_page import SEVERAL, UNNAMED, spread

NAMES = {
    "padded": "transformers generate(), a padded batch",
    "slots": "**gemmactl**",
    "cb": "transformers continuous batching",
    "one by one": "generate(), one request after another",
    "inside": "in one process",
    "http": "HTTP and SSE, client in another process",
}
MODELS = {"small": "0.85 M parameters (the sample model)", "large": "60 M parameters (Gemma 3's shapes, random weights)"}


def ratio(row: Mapping[str, list[float]], first: str, second: str) -> list[float]:
    """First over second, round by round."""
    return [a / b for a, b in zip(row.get(first, []), row.get(second, []), strict=False)]


def _verdict(values: list[float], target: float, *, least: bool) -> str:
    if not values:
        return "not measured"
    middle = statistics.median(values)
    if middle >= target if least else middle <= target:
        return "ok"
    return "within its spread" if (max(values) >= target if least else min(values) <= target) else "missed"


def _targets(figures: Mapping[str, Any]) -> Iterator[tuple[str, list[float], float, bool]]:
    """(what, values, target, is the target the least)."""
    for kind, best in (("small", 1.7), ("large", 1.2)):
        rows = figures.get(f"decode {kind}", {})
        for size, row in rows.items():
            yield f"{kind}, {size} at once: of padded generate()", ratio(row, "slots", "padded"), 0.95, True
        if "32" in rows:
            yield f"{kind}, 32 at once: of continuous batching", ratio(rows["32"], "slots", "cb"), best, True
        mixed = figures.get(f"mixed {kind}", {}).get("mixed", {})
        yield f"{kind}, mixed lengths: of padded generate()", ratio(mixed, "slots", "padded"), 2.0, True
        yield f"{kind}, 32 streams over HTTP: of one process", ratio(figures.get(f"http {kind}", {}), "http", "inside"), 0.9, True
    for link, rows in figures.get("start", {}).items():
        if not isinstance(rows, Mapping) or "ours" not in rows:
            continue
        ours, theirs = rows["ours"]["seconds"], rows.get("download, then load", {}).get("seconds", [])
        for what in ("imports", "torch alone"):
            floor = [max(one, _download(link)) * 1.1 + 0.3 for one in rows.get(what, {}).get("seconds", [])]
            yield (
                f"first token, {link}: of max({what}, bytes / rate) x 1.1 + 0.3 s",
                [a / b for a, b in zip(ours, floor, strict=False)],
                1.0,
                False,
            )
        yield f"first token, {link}: download-then-load over ours", [a / b for a, b in zip(theirs, ours, strict=False)], 1.5, True


READ: Final = 554.3e6
"""Bytes that a start over the 270M shapes reads: 536.2 MB of weights, and a tokenizer of Gemma 3's size."""


def _download(link: str) -> float:
    """Seconds that those take over 16 connections of the store's port."""
    from bench.load_store import RATE_MIB, SLOW_MIB

    return READ / (16 * (SLOW_MIB if "slow" in link else RATE_MIB) * 2**20)


def page(figures: Mapping[str, Any], machines: Mapping[str, str], day: str) -> str:
    """`machines`: part -> where it was measured. One of them is told once, several each with its parts."""
    places = {part: f"{machines.get(part, UNNAMED)}." for part in figures}
    found = sorted(set(places.values()))
    lines = [
        "# The engine, measured",
        "",
        f"{day}, `python -m bench.serve`; on the CPU, float32, one torch thread; {found[0] if len(found) == 1 else SEVERAL}",
        "Medians (smallest-largest); ratios are of the same round. No figure of a GPU is here.",
        "A start reads 554 MB: 536 of weights, and a tokenizer of Gemma 3's size, without which there is no token.",
        "",
        "| target | measured | wanted | |",
        "| --- | ---: | ---: | --- |",
    ]
    for what, values, target, least in _targets(figures):
        shown = spread(values) if values else "not measured"
        lines.append(f"| {what} | {shown} | {'>=' if least else '<='} {target} | {_verdict(values, target, least=least)} |")
    for name, rows in figures.items():
        part, _, kind = name.partition(" ")
        where = [places[name], ""] if len(found) > 1 else []
        if part == "start":
            lines += [
                "",
                "## From birth to the first token (270M shapes), seconds",
                "",
                *where,
                "| link | way | seconds |",
                "| --- | --- | ---: |",
            ]
            for link, cases in rows.items():
                if isinstance(cases, Mapping):
                    lines += [f"| {link} | {case} | {spread(row['seconds'])} |" for case, row in cases.items()]
            continue
        lines += ["", f"## {part}: {MODELS[kind]}, tokens a second", "", *where]
        table = {"32 streams": rows} if part == "http" else rows
        lines += ["| at once | way | tokens/s |", "| --- | --- | ---: |"]
        for size, row in table.items():
            lines += [f"| {size} | {NAMES[way]} | {spread(found, 0)} |" for way, found in row.items()]
    return "\n".join(lines) + "\n"
