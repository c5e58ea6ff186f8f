"""How long a plan's reads take when the cloud is far away. Knows the official clients and a pretended cloud that only answers.

    python bench/reads.py [--runs N] [--latency SECONDS] [--write docs/bench/reads.md]

A server on loopback, in a process of its own, holds every answer back by the latency: "not there", what a first deploy is told.
The stack has fifty things of the kinds that a deploy has, each costs one read. Compared are three reads of one thing, one after
the other. The smallest of the runs counts: what else the machine does meanwhile is not the plan's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
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


def start(latency: float) -> str:
    """A far cloud; its address."""
    told, tell = multiprocessing.Pipe(duplex=False)
    multiprocessing.get_context("spawn").Process(target=serve, args=(latency, tell), daemon=True).start()
    return f"http://127.0.0.1:{told.recv()}"


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


def fastest(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """(smallest, median) in seconds; the first run imports and connects, and is not counted."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times), statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    from bench.anybody import Endpoint
    from gemmactl.gcp.cloud import connect
    from gemmactl.kernel.plan import make_plan

    far, near = (connect("bench-project", endpoint=Endpoint(start(latency))) for latency in (asked.latency, 0.0))
    stack = things()
    plan = fastest(lambda: make_plan(stack, far), asked.runs)
    idle = fastest(lambda: make_plan(stack, near), asked.runs)
    few = fastest(lambda: [stack[-1].read(far) for _ in range(SEQUENTIAL)], asked.runs)
    alone = THINGS * asked.latency
    rows = [
        (f"limit: {SEQUENTIAL} latencies", (SEQUENTIAL * asked.latency,) * 2),
        (f"{SEQUENTIAL} reads of a service, one after the other", few),
        (f"a plan of {THINGS} things", plan),
        ("the same plan without latency: this machine's own work", idle),
        (f"limit of {THINGS} reads, one after the other", (alone, alone)),
    ]
    held = plan[0] <= few[0]
    page = [
        "# A plan's reads",
        "",
        f"{THINGS} things of five kinds, every answer {asked.latency * 1000:.0f} ms away, over the official clients; smallest of",
        f"{asked.runs} runs in one process, imports and connecting not counted. Target: all of them in the time of {SEQUENTIAL}",
        "reads one after the other. Made by `python bench/reads.py --write FILE`.",
        "",
        "| what | ms | median ms |",
        "| --- | ---: | ---: |",
        *(f"| {what} | {least * 1000:.0f} | {usual * 1000:.0f} |" for what, (least, usual) in rows),
        "",
        f"Verdict: {'ok' if held else 'MISSED'}. Plain HTTP on loopback: TLS's handshakes to the real hosts are not in it.",
        "",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {multiprocessing.cpu_count()} cores,",
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
