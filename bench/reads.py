"""How long a plan's reads take when the cloud is far away. Knows the official clients and a pretended cloud that only answers.

    python bench/reads.py [--pairs N] [--latency SECONDS] [--write docs/bench/reads.md]

A server on loopback, in a process of its own, holds every answer back by the latency: "not there", what a first deploy is told.
The stack has fifty things of the kinds that a deploy has, each costs one read. Compared are three reads of one thing, one after
the other. Both are measured in turn, the order swapped from pair to pair, so that what else the machine does falls on both; the
median of the pairs' own differences counts, and the spread is told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
THINGS = 50
SEQUENTIAL = 3
NOT_THERE = b'{"error": {"code": 404, "message": "it is not there", "status": "NOT_FOUND"}}'


class Far(ThreadingHTTPServer):
    """Answers after a while; counts how many wait at once."""

    daemon_threads = True
    request_queue_size = 256  # with the default of 5 a dropped SYN costs a second

    def __init__(self, latency: float) -> None:
        self.latency = latency
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """404 to whatever is asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Far

    def log_message(self, *_args: object) -> None: ...

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.server.latency)
        head = f"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {len(NOT_THERE)}\r\n\r\n"
        self.wfile.write(head.encode() + NOT_THERE)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls


def serve(latency: float, tell: Connection) -> None:
    """The other process."""
    server = Far(latency)
    tell.send(server.server_address[1])
    server.serve_forever()


def start(latency: float) -> tuple[str, int]:
    """A far cloud: its address, and the id of its process."""
    told, tell = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(latency, tell), daemon=True)
    process.start()
    return f"http://127.0.0.1:{told.recv()}", process.pid or 0


class Neighbours:
    """How much of the machine others use, from Linux's own counts."""

    def __init__(self, own: Sequence[int]) -> None:
        self.own = own
        self.before = self._counts()

    def _counts(self) -> tuple[int, int]:
        """(what the whole machine could do, what others did), in ticks."""
        row = [int(word) for word in Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0].split()[1:9]]
        ours = (Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[11:13] for pid in self.own)
        return sum(row), sum(row) - row[3] - row[4] - sum(int(ticks) for pair in ours for ticks in pair)

    def share(self) -> float:
        """Percent of the machine since the beginning."""
        whole, others = (now - then for now, then in zip(self._counts(), self.before, strict=True))
        return 100 * others / whole


def things() -> list[Any]:
    """Fifty resources that cost one read each."""
    from gemmactl.resources.bucket import ModelBucket
    from gemmactl.resources.repository import Repository
    from gemmactl.resources.secret import Secret
    from gemmactl.resources.service import Service
    from gemmactl.resources.service_account import ServiceAccount

    each = range(THINGS // 5)
    return [
        *(ServiceAccount("bench-project", f"account-{i}", "") for i in each),
        *(Repository("bench-project", "us-central1", f"repository-{i}") for i in each),
        *(ModelBucket(f"bucket-{i}", "us-central1") for i in each),
        *(Secret("bench-project", f"secret-{i}", "us-central1") for i in each),
        *(Service("bench-project", "us-central1", f"service-{i}") for i in each),
    ]


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of wall time."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def in_turn(works: Mapping[str, Callable[[], object]], pairs: int) -> dict[str, list[float]]:
    """Milliseconds of each, one after the other and the other way round; the first runs import and connect, and don't count."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for pair in range(pairs):
        for name in (*works,) if pair % 2 else reversed((*works,)):
            times[name].append(timed(works[name]))
    return times


def quartiles(times: Sequence[float]) -> tuple[float, float, float]:
    """(lower quartile, median, upper quartile)"""
    low, middle, high = statistics.quantiles(times, n=4)
    return low, middle, high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    from bench.anybody import Endpoint
    from gemmactl.gcp.cloud import connect
    from gemmactl.kernel.plan import make_plan

    clouds = [start(latency) for latency in (asked.latency, 0.0)]
    far, near = (connect("bench-project", endpoint=Endpoint(url)) for url, _ in clouds)
    stack, others = things(), Neighbours([os.getpid(), *(pid for _, pid in clouds)])
    few, plan, own = (
        f"{SEQUENTIAL} reads of a service, one after the other",
        f"a plan of {THINGS} things",
        "the same plan without latency: this machine's own work",
    )
    times = in_turn(
        {
            few: lambda: [stack[-1].read(far) for _ in range(SEQUENTIAL)],
            plan: lambda: make_plan(stack, far),
            own: lambda: make_plan(stack, near),
        },
        asked.pairs,
    )
    later = [a - b for a, b in zip(times[plan], times[few], strict=True)]
    low, middle, high = quartiles(later)
    wins, verdict = sum(one <= 0 for one in later), "ok" if middle <= 0 else "MISSED"
    rows = [(what, *quartiles(found), min(found)) for what, found in times.items()]
    away = asked.latency * 1000
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    word = "less" if middle <= 0 else "more"
    page = [
        "# A plan's reads",
        "",
        f"{THINGS} things of five kinds, every answer {away:.0f} ms away, over the official clients, in one process; imports",
        f"and connecting not counted. Target: all of them in the time of {SEQUENTIAL} reads one after the other.",
        f"{asked.pairs} pairs, measured in turn with the order swapped from pair to pair.",
        "Made by `python bench/reads.py --write FILE`.",
        "",
        "| what | median ms | middle half ms | least ms |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {what} | {usual:.0f} | {least:.0f} to {most:.0f} | {best:.0f} |" for what, least, usual, most, best in rows),
        f"| {SEQUENTIAL} latencies, without any work | {SEQUENTIAL * away:.0f} | | |",
        f"| {THINGS} latencies, without any work | {THINGS * away:.0f} | | |",
        "",
        f"In the median of the pairs the plan took {abs(middle):.0f} ms {word} than the {SEQUENTIAL} reads beside it",
        f"(middle half {low:+.0f} to {high:+.0f} ms), and no longer than they in {wins} of {asked.pairs}. Verdict: {verdict}.",
        "Plain HTTP on loopback: TLS's handshakes to the real hosts are not in it, and the pretended cloud works on the",
        "same cores.",
        "",
        f"{cpu()}, {multiprocessing.cpu_count()} cores, {system};",
        f"other programs took {others.share():.0f} % of the machine meanwhile.",
        "",
    ]
    sys.stdout.write("\n".join(page))
    if asked.write:
        asked.write.write_text("\n".join(page), encoding="utf-8")
    return 0 if middle <= 0 else 1


def cpu() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "processor unknown"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "processor unknown")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
