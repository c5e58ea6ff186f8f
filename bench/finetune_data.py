"""How long 100,000 rows take to be checked: structure, every fault, what is there twice. Knows no model and no network.

    python bench/finetune_data.py [--rows N] [--runs N] [--write docs/bench/finetune-data.md]

One row in two hundred is there twice, as many are broken. The limit is json.loads over the same lines: what is not read
can't be checked. CPU time of one core, the smallest of the runs, all in one process; the peer is the datasets library reading
the same file without the broken rows, which end it.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
SECONDS = 1.0
"""Target of the rows as messages."""
WORDS = (
    "select",
    "name",
    "price",
    "from",
    "singers",
    "where",
    "age",
    "order by",
    "table",
    "count",
    "the",
    "of",
    "group",
    "having",
)


def texts(count: int) -> list[tuple[str, str]]:
    """Question and answer of a size as text-to-SQL has, each question another one."""
    drawn = random.Random(42)
    return [(" ".join(drawn.choices(WORDS, k=30)) + f" {at}", " ".join(drawn.choices(WORDS, k=12))) for at in range(count)]


def messages(pairs: list[tuple[str, str]], *, broken: bool = True) -> bytes:
    """JSON Lines of conversations; some are broken in the ways that people's files are."""
    lines = [
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}, ensure_ascii=False)
        for q, a in pairs
    ]
    for at in range(100, len(lines), 100):
        lines[at] = lines[at - 50]
    for at in range(0, len(lines) if broken else 0, 200):
        lines[at] = (lines[at][:-9], lines[at].replace("assistant", "user"), '{"messages": []}')[at % 3]
    return "\n".join(lines).encode()


def columns(pairs: list[tuple[str, str]]) -> bytes:
    """CSV of question and answer."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(("question", "answer"))
    writer.writerows(pairs)
    return file.getvalue().encode()


def parsed(data: bytes) -> None:
    """The limit: every line decoded, and thrown away."""
    for line in data.decode().split("\n"):
        with contextlib.suppress(ValueError):
            json.loads(line)


def split(data: bytes) -> None:
    """The limit of CSV."""
    for _ in csv.reader(io.StringIO(data.decode(), newline="")):
        pass


def peer(data: bytes) -> Callable[[], object] | None:
    """The datasets library on the same rows; None: it is not installed."""
    try:
        import datasets
    except ImportError:
        return None
    datasets.disable_progress_bars()
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "rows.jsonl"
    path.write_bytes(data)

    def read() -> object:
        with tempfile.TemporaryDirectory(dir=folder.name) as cache:
            return datasets.Dataset.from_json(str(path), cache_dir=cache)

    return read


def fastest(work: Callable[[], object], runs: int) -> float:
    """CPU seconds of the quickest run."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    from finetune_image.data.rows import read
    from finetune_image.data.split import split as choose
    from finetune_image.run import Data

    pairs = texts(asked.rows)
    lines, table, whole = messages(pairs), columns(pairs), messages(pairs, broken=False)
    found = read(lines, Data())
    limit, limit_csv = fastest(lambda: parsed(lines), asked.runs), fastest(lambda: split(table), asked.runs)
    checked = fastest(lambda: read(lines, Data()), asked.runs)
    checked_csv = fastest(lambda: read(table, Data(), "rows.csv"), asked.runs)
    chosen = fastest(lambda: choose(found, Data(limit=asked.rows // 2)), asked.runs)
    rows = [
        (f"limit: json.loads of each line ({len(lines) / 1e6:.0f} MB)", limit, 1.0),
        ("messages: checked, faults told, duplicates found", checked, checked / limit),
        (f"limit: csv.reader ({len(table) / 1e6:.0f} MB)", limit_csv, 1.0),
        ("question and answer in CSV: the same", checked_csv, checked_csv / limit_csv),
        ("half of the rows chosen by seed, 200 held out", chosen, chosen / limit),
    ]
    if other := peer(whole):
        seconds = fastest(other, asked.runs)
        rows.append(("peer: datasets reads the rows into Arrow, and checks none", seconds, seconds / limit))
    held = checked < SECONDS
    page = [
        "# Checking the data of a fine-tune",
        "",
        f"{asked.rows:,} rows of question and answer; {found.problems.count:,} are broken and {found.duplicates.count:,} there",
        f"twice, all of which are found. CPU seconds of one core, smallest of {asked.runs} runs in one process.",
        f"Target: under {SECONDS:.0f} s for messages. Made by `python bench/finetune_data.py --write FILE`.",
        "",
        "| what | CPU s | x its limit |",
        "| --- | ---: | ---: |",
        *(f"| {what} | {seconds:.2f} | {ratio:.2f} |" for what, seconds, ratio in rows),
        "",
        f"Verdict: {'ok' if held else 'MISSED'}. The ratio to the limit travels between machines; seconds do not.",
        "",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores,",
        f"load {os.getloadavg()[0]:.1f}.",
        "",
    ]
    sys.stdout.write("\n".join(page))
    if asked.write:
        asked.write.write_text("\n".join(page), encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
