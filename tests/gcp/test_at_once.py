"""A plan's reads are under way at the same time, through Google's clients too: nobody answers before all have asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gemmactl.gcp.cloud import connect
from gemmactl.kernel.plan import Op, make_plan
from gemmactl.kernel.resource import Resource
from gemmactl.resources.bucket import ModelBucket
from gemmactl.resources.repository import Repository
from gemmactl.resources.secret import Secret
from gemmactl.resources.service import Service
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.sandbox.endpoint import Endpoint

THINGS = 50
NOT_THERE = b'{"error": {"code": 404, "message": "it is not there", "status": "NOT_FOUND"}}'
PATIENCE = 30.0
"""Seconds after which those who wait give up: the test fails then, it does not hang."""


@dataclass
class Gate:
    """A cloud in which nothing is, and which answers nobody until `THINGS` requests are waiting."""

    url: str
    barrier: threading.Barrier


@pytest.fixture
def gate() -> Iterator[Gate]:
    barrier = threading.Barrier(THINGS)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None: ...

        def do_GET(self) -> None:
            try:
                barrier.wait(PATIENCE)
            except threading.BrokenBarrierError:
                self.close_connection = True
                return
            head = f"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {len(NOT_THERE)}\r\n\r\n"
            self.wfile.write(head.encode() + NOT_THERE)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Gate(f"http://127.0.0.1:{server.server_port}", barrier)
    barrier.abort()
    server.shutdown()
    server.server_close()


def stack() -> list[Resource]:
    """Fifty things of the kinds that a deploy has; each costs one read."""
    each = range(THINGS // 5)
    return [
        *(ServiceAccount("demo-proj", f"account-{i}", "") for i in each),
        *(Repository("demo-proj", "us-central1", f"repository-{i}") for i in each),
        *(ModelBucket(f"bucket-{i}", "us-central1") for i in each),
        *(Secret("demo-proj", f"secret-{i}", "us-central1") for i in each),
        *(Service("demo-proj", "us-central1", f"service-{i}") for i in each),
    ]


def test_fifty_reads_of_a_plan_are_one_round(gate: Gate) -> None:
    """Each of fifty reads is at the server before the first is answered."""
    cloud = connect("demo-proj", Endpoint(gate.url, "demo-proj", "1", secret=b"s" * 32))
    plan = make_plan(stack(), cloud)
    assert (len(plan.work), {step.op for step in plan.steps}) == (THINGS, {Op.CREATE})
    assert not gate.barrier.broken
