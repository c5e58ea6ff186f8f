"""The page and the plot of the loader's benchmark. Knows figures, measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]

NAMES = {
    "raw": "raw, the yardstick: Python threads of recv_into on reused slabs, no checksum",
    "ours": "**gemmactl**, every byte's CRC-32C checked",
    "obstore": "obstore, results dropped, no checksum",
    "runai": "runai-model-streamer, its best setting, no checksum",
    "transfer_manager": "google-cloud-storage transfer_manager, then load_file",
    "gcloud": "gcloud storage cp, then load_file",
    "local_copy": "load_file of a copy that is here already (not a download)",
}
UNNAMED = "a machine that was not named"
SEVERAL = "several machines, each named with its tables."


def median(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float], digits: int = 2) -> str:
    """The median, then (smallest-largest)."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratios(rows: Rows, first: str, second: str, what: str = "rate") -> list[float]:
    """First over second, round by round."""
    if first not in rows or second not in rows:
        return []
    return [a / b for a, b in zip(rows[first][what], rows[second][what], strict=False)]


def _verdict(values: list[float], target: float, *, least: bool) -> str:
    """ok; `within` when the target lies in the spread; else missed."""
    if not values:
        return "not measured"
    middle = median(values)
    if middle >= target if least else middle <= target:
        return "ok"
    reached = max(values) >= target if least else min(values) <= target
    return "within its spread" if reached else "missed"


def _table(rows: Rows) -> list[str]:
    lines = ["| what | GB/s | CPU s/GB | of raw | memory MB | runs |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, row in rows.items():
        part = ratios(rows, name, "raw")
        share = f"{median(part):.2f}" if part and name != "raw" else ""
        memory = f"{median(row['memory']):.0f}"
        cells = (NAMES.get(name, name), spread(row["rate"]), f"{median(row['cpu']):.2f}", share, memory, str(len(row["rate"])))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def targets(parts: Mapping[str, Rows]) -> list[str]:
    """The bars, and how they were met."""
    lines = ["| bar | measured | verdict |", "| --- | --- | --- |"]

    def bar(text: str, values: list[float], target: float, *, least: bool) -> None:
        told = spread(values) if values else "not measured"
        lines.append(f"| {text} | {told} | {_verdict(values, target, least=least)} |")

    opened, capped, start = parts.get("open", {}), parts.get("capped", {}), parts.get("start", {})
    bar("TLS, open link: >= 1.3x runai", ratios(opened, "ours", "runai"), 1.3, least=True)
    large = parts.get("open4", {})
    bar("the same, 4B", ratios(large, "ours", "runai"), 1.3, least=True)
    bar("TLS, open link: CPU s/GB <= 0.95", opened.get("ours", {}).get("cpu", []), 0.95, least=False)
    bar("the same, 4B", large.get("ours", {}).get("cpu", []), 0.95, least=False)
    bar(
        "the same over raw's CPU s/GB (0.90 where the bar was set: <= 1.06)",
        ratios(opened, "ours", "raw", "cpu"),
        1.06,
        least=False,
    )
    bar("TLS, capped: >= 0.95 of raw", ratios(capped, "ours", "raw"), 0.95, least=True)
    bar("TLS, capped: >= 1.4x runai", ratios(capped, "ours", "runai"), 1.4, least=True)
    memory = parts.get("memory", {})
    bar("host memory of a load through a ring, MB, 1B: <= 256", memory.get("ours 1b", {}).get("memory", []), 256, least=False)
    bar("the same, 4B: <= 256", memory.get("ours 4b", {}).get("memory", []), 256, least=False)
    if start:
        triples = zip(start["ready"]["seconds"], start["download"]["seconds"], start["imports"]["seconds"], strict=False)
        bar("start -> ready over max(download, imports): <= 1.05", [a / max(b, c) for a, b, c in triples], 1.05, least=False)
    faults = ratios(parts.get("faults", {}), "faults", "no faults", "seconds")
    bar("one request in twenty fails, stalls or breaks: <= 1.2x the time", faults, 1.2, least=False)
    disk = [row["more"].get("disk") for rows in parts.values() for name, row in rows.items() if name == "ours"]
    lines.append(
        f"| bytes written to disk: 0 | {max(disk, default='not measured')} | {'ok' if disk and not any(disk) else 'look'} |"
    )
    return lines


def page(parts: Mapping[str, Rows], left_out: Mapping[str, str], machines: Mapping[str, str], day: str) -> str:
    """`machines`: part -> where it was measured. One of them is told once, several each with its parts."""
    where = {part: f"{machines.get(part, UNNAMED)}." for part in parts}
    found = sorted(set(where.values()))
    lines = [
        "# Weights from Cloud Storage into memory", "",
        "A store on loopback (nginx) that speaks Cloud Storage's JSON and XML APIs, Gemma 3's shapes in bf16, sixteen",
        "connections. Each run is a process of its own; the cases of a table ran in turns and a ratio is taken within a",
        "round: median (smallest to largest). GB is 10^9 bytes. CPU is the client's, its children included, the server's not.",
        "Memory is what came on top of the imports. Made by `python -m bench.load --write FILE`.", "",
        f"{day}, {found[0] if len(found) == 1 else SEVERAL}", "",
        "Not measured: real Cloud Storage, its round trips and losses, and copies from pinned memory to a GPU.",
        "The sink of these rows gives each slab back at once, as a GPU that is faster than the link would.", "",
        "## Bars", "", *targets(parts), "",
    ]  # fmt: skip
    titles: list[tuple[str, str, Callable[[Rows], list[str]]]] = [
        ("open", "TLS, open link, 1B", _table),
        ("open4", "TLS, open link, 4B", _table),
        ("capped", "TLS, 64 MiB/s for each request and 30 ms before it, 1B", _table),
        ("plain", "HTTP, open link, 1B (information: Cloud Storage is always TLS)", _table),
        ("copies", "TLS, open link: the ways over a file, 1B", _table),
        ("memory", "Memory", _seconds),
        ("faults", "One request in twenty: 503, a minute of silence, or a body that breaks off after 2 MiB", _seconds),
        ("start", "From the start of the process to weights, model and tokenizer, 270M over 32 MiB/s", _seconds),
        ("sizes", "Seconds to ready by size, on CPU: TLS, 64 MiB/s for each of 16 requests", _sizes),
    ]
    for key, title, table in titles:
        if key in parts:
            lines += [f"## {title}", "", *([where[key], ""] if len(found) > 1 else []), *table(parts[key]), ""]
    if left_out:
        lines += ["Left out: " + "; ".join(f"{name} ({why})" for name, why in sorted(left_out.items())) + ".", ""]
    return "\n".join(lines)


def _seconds(rows: Rows) -> list[str]:
    lines = ["| what | seconds | memory MB | runs |", "| --- | ---: | ---: | ---: |"]
    for name, row in rows.items():
        memory = f"{median(row['memory']):.0f}" if any(row["memory"]) else ""
        lines.append(f"| {name} | {spread(row['seconds'])} | {memory} | {len(row['seconds'])} |")
    return lines


def _sizes(rows: Rows) -> list[str]:
    lines = [
        "![Seconds to ready by size of the model](load.svg)",
        "",
        "| size | gemmactl | transfer_manager, from_pretrained | runs |",
        "| --- | ---: | ---: | ---: |",
    ]
    for size in ("270m", "1b", "4b"):
        if f"ours {size}" in rows and f"copy {size}" in rows:
            ours, copy = rows[f"ours {size}"]["seconds"], rows[f"copy {size}"]["seconds"]
            lines.append(f"| {size} | {spread(ours, 1)} | {spread(copy, 1)} | {min(len(ours), len(copy))} |")
    return lines


def plot(rows: Rows) -> str:
    """Bars of seconds to ready by size, as SVG."""
    sizes = [size for size in ("270m", "1b", "4b") if f"ours {size}" in rows]
    most = max(median(row["seconds"]) for row in rows.values())
    width, left, bar = 640, 60, 26
    scale = (width - left - 90) / most
    made, at = [], 44
    for size in sizes:
        made.append(f'<text x="8" y="{at + bar}" font-weight="bold">{size}</text>')
        for kind, colour in (("ours", "#1a73e8"), ("copy", "#9aa0a6")):
            if f"{kind} {size}" in rows:
                value = median(rows[f"{kind} {size}"]["seconds"])
                made.append(f'<rect x="{left}" y="{at}" width="{value * scale:.0f}" height="{bar - 4}" fill="{colour}"/>')
                made.append(f'<text x="{left + value * scale + 6:.0f}" y="{at + bar - 9}">{value:.1f} s</text>')
            at += bar
        at += 18
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{at}" font-family="sans-serif" font-size="13">'
        f'<rect width="{width}" height="{at}" fill="white"/><text x="8" y="22" font-size="15">Seconds from start to ready</text>'
        '<rect x="250" y="10" width="12" height="12" fill="#1a73e8"/><text x="268" y="21">gemmactl</text>'
        '<rect x="350" y="10" width="12" height="12" fill="#9aa0a6"/><text x="368" y="21">copy, then from_pretrained</text>'
    )
    return head + "".join(made) + "</svg>\n"
