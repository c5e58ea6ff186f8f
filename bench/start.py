"""What a start of the tool costs: CPU time of whole processes against `python -c pass`. Knows command lines only.

    python bench/start.py [--runs N] [--write docs/bench/start.md]

CPU time (user + system of the process and its children, from wait4) is steadier than the clock on a shared machine; the
smallest of N interleaved runs is the cost of the work itself. The ratio to the bare interpreter travels between machines,
milliseconds don't.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ERROR = (
    "ERROR: (gcloud.run.deploy) Revision 'gemma-00001-abc' is not ready and cannot serve traffic. "
    "Container failed to become healthy. "
    "Startup probes timed out after 4m (1 attempts with a timeout of 4m each). There was an initial delay of 0s.\n"
)


@dataclass(frozen=True)
class Case:
    """One command line. `target`: the ratio that it must not exceed; None: shown only."""

    name: str
    argv: tuple[str, ...]
    target: float | None = None
    codes: tuple[int, ...] = (0,)


@dataclass
class Cost:
    """Smallest CPU and clock seconds seen."""

    cpu: float = float("inf")
    clock: float = float("inf")


def cases(python: str, tool: str, folder: Path) -> tuple[Case, ...]:
    """The bare interpreter first; the others are its multiples."""
    log = folder / "error.log"
    log.write_text(ERROR)
    return (
        Case("python -c pass", (python, "-c", "pass")),
        Case("gemmactl --help", (tool, "--help"), 16.0),
        Case("gemmactl doctor --from-log FILE", (tool, "doctor", "--from-log", str(log)), 15.0, (0, 6)),
        Case("gemmactl --version", (tool, "--version")),
    )


def once(case: Case, environment: Mapping[str, str], folder: Path) -> Cost:
    """Run it to its end, with no terminal.

    Raises:
        SystemExit: it ended with another code than it should: its cost would be that of a failure.
    """
    with (folder / "output").open("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(case.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder)
        _, status, used = os.wait4(process.pid, 0)
        clock = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in case.codes:
            output.seek(0)
            raise SystemExit(f"{case.name} ended with {process.returncode}:\n{output.read()}")
    return Cost(used.ru_utime + used.ru_stime, clock)


def measure(all_cases: Sequence[Case], runs: int, folder: Path) -> list[Cost]:
    """The minimum of `runs` rounds; each round runs every case once, so that a slow minute hits all of them."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GEMMACTL_", "GOOGLE_", "CLOUDSDK_", "PYTHON"))
    }
    environment |= {"HOME": str(folder), "NO_COLOR": "1"}
    best = [Cost() for _ in all_cases]
    for _ in range(runs + 1):  # the first round also writes byte code; the minimum forgets it
        for case, cost in zip(all_cases, best, strict=True):
            seen = once(case, environment, folder)
            cost.cpu, cost.clock = min(cost.cpu, seen.cpu), min(cost.clock, seen.clock)
    return best


def table(all_cases: Sequence[Case], costs: Sequence[Cost]) -> list[tuple[str, ...]]:
    """Rows: command, CPU ms, clock ms, times the bare interpreter, target, verdict."""
    bare = costs[0].cpu
    rows = [("command", "CPU ms", "clock ms", "x python", "at most", "")]
    for case, cost in zip(all_cases, costs, strict=True):
        ratio = cost.cpu / bare
        verdict = "" if case.target is None else ("ok" if ratio <= case.target else "TOO SLOW")
        limit = "" if case.target is None else f"{case.target:.0f}"
        rows.append((case.name, f"{cost.cpu * 1000:.0f}", f"{cost.clock * 1000:.0f}", f"{ratio:.1f}", limit, verdict))
    return rows


def page(rows: Sequence[tuple[str, ...]], runs: int) -> str:
    """The table as a page of docs/bench."""
    head = [f"| {' | '.join(rows[0])} |", f"| --- |{' ---: |' * 4} --- |"]
    body = [f"| `{row[0]}` | {' | '.join(row[1:])} |" for row in rows[1:]]
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return "\n".join(
        [
            "# What a start of the tool costs",
            "",
            "CPU time of the whole process, children included, against `python -c pass` of the same environment.",
            "The targets are ratios: they travel. Made by `python bench/start.py --write FILE`.",
            "",
            *head,
            *body,
            "",
            f"Python {platform.python_version()} on {machine}; smallest of {runs} runs.",
            "",
        ]
    )


def main() -> int:
    """0 when every target is kept, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table as Markdown too")
    options = parser.parse_args()
    tool = Path(sys.executable).with_name("gemmactl")
    if not tool.exists():
        raise SystemExit(f"{tool} is not installed: `make bench` installs it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        all_cases = cases(sys.executable, str(tool), folder)
        rows = table(all_cases, measure(all_cases, options.runs, folder))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(page(rows, options.runs))
    return 1 if any(row[-1] == "TOO SLOW" for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
