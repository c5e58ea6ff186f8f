"""The engine against transformers' own ways to serve, over HTTP against itself, and from a process's birth to its first token.

    python -m bench.serve [--rounds 7] [--only decode,mixed,http,start] [--machine WORDS] [--keep FILE] [--write FILE]

Ratios are of the same round: all ways take turns, in another order in each round. On CPU, one torch thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import serve_http, serve_page
from bench.load import machine
from bench.serve_models import Padded, Slots, asks, continuous, folder

SIZES = (1, 8, 32)
TOKENS = 48
MIXED = [4, 8, 16, 96]
Rates = dict[str, list[float]]


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _rounds(ways: Mapping[str, Callable[[], None]], tokens: int, rounds: int) -> Rates:
    """Tokens a second of each way, round by round; what runs first in a round changes."""
    names, rates = list(ways), {name: [] for name in ways}
    for way in ways.values():
        way()
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rates[name].append(tokens / _timed(ways[name]))
    print("  ", {name: round(statistics.median(found)) for name, found in rates.items()}, file=sys.stderr)
    return rates


def decode(path: Path, rounds: int, *, mixed: bool) -> dict[str, Rates]:
    """Equal lengths at each size of batch, and 48 requests of mixed lengths over 8 rows."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, Rates] = {}
    padded, slots = Padded(path), Slots(path)
    with continuous(path) as manager:
        for size in () if mixed else SIZES:
            wanted = asks(size, TOKENS)
            ways = {name: _bound(way, wanted, size) for name, way in (("padded", padded), ("slots", slots), ("cb", manager))}
            found[str(size)] = _rounds(ways, size * TOKENS, rounds)
    if mixed:
        wanted = asks(48, MIXED)
        tokens = sum(count for _, count in wanted)
        ways = {"padded": _bound(padded, wanted, 8), "slots": _bound(slots, wanted, 8), "one by one": _bound(padded, wanted, 1)}
        found["mixed"] = _rounds(ways, tokens, rounds)
    return found


def _bound(way: Callable[[Any, int], None], wanted: Any, rows: int) -> Callable[[], None]:
    return lambda: way(wanted, rows)


def http(path: Path, rounds: int) -> Rates:
    """Tokens a second inside a process, and of a server for a client in another process."""
    found: Rates = {"inside": [], "http": []}
    with serve_http.ways(path) as ways:
        for way in ways.values():
            way()  # warms up
        for number in range(rounds):
            for name in list(found)[:: 1 if number % 2 else -1]:
                found[name].append(ways[name]())
    print("  ", {name: round(statistics.median(rates)) for name, rates in found.items()}, file=sys.stderr)
    return found


def start(rounds: int, place: Path) -> dict[str, Any]:
    """Seconds from a process's birth to its first token, over two links."""
    from bench import load, load_store, make_weights
    from bench.load_store import BUCKET

    if lacking := load_store.missing():
        return {"left out": lacking}
    data = place / "data"
    if not (data / BUCKET / "270m" / "tokenizer.json").exists():
        make_weights.write(data / BUCKET / "270m", "270m", 1)
    with load_store.running(data, place / "run") as store:
        bench = load.Bench(store, data, rounds)
        for port in ("tls capped", "tls slow"):
            named = {
                "imports": "imports",
                "torch_alone": "torch alone",
                "first_token": "ours",
                "hub_way_token": "download, then load",
            }
            bench.part(port, [load.Case(client, port, "270m", label=label) for client, label in named.items()])
    return {part: {case: vars(row) for case, row in rows.items()} for part, rows in bench.parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="decode,mixed,http,start")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/gemmactl-serve"))
    parser.add_argument("--keep", type=Path, help="add the figures to this JSON file, and make the page of all that are in it")
    parser.add_argument("--machine", default="", help="what the page says of the machine, after Python and cores")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    only = set(given.only.split(","))
    figures: dict[str, Any] = json.loads(given.keep.read_text()) if given.keep and given.keep.exists() else {}
    machines: dict[str, str] = figures.pop("machines", {})

    def keep(name: str, value: Any) -> None:
        figures[name], machines[name] = value, machine(given.machine)
        if given.keep:
            given.keep.write_text(json.dumps({**figures, "machines": machines}))

    for kind in ("small", "large"):
        path = folder(kind, given.folder)
        for part in ("decode", "mixed"):
            if part in only:
                keep(f"{part} {kind}", decode(path, given.rounds, mixed=part == "mixed"))
        if "http" in only:
            # a round of the small model takes a second: five times as many, for a machine that is shared is unsteady
            keep(f"http {kind}", http(path, given.rounds * (5 if kind == "small" else 1)))
    if "start" in only:
        keep("start", start(given.rounds, given.folder))
    page = serve_page.page(figures, machines, time.strftime("%Y-%m-%d"))
    print(page)
    if given.write:
        given.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
