"""How startup probes behave against a real port: what counts as an answer, and when an attempt is over."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from gemmactl.sandbox.probes import Verdict, wait_started

HTTP_FAILED = "The user-provided container failed the configured startup probe checks."
ONCE = {"periodSeconds": 240, "timeoutSeconds": 240, "failureThreshold": 1, "initialDelaySeconds": 0}
"""What a TCP probe has by default, and what fails at once over HTTP."""


@dataclass
class Instance:
    """A process that runs on."""

    port: int
    exit_code: int | None = None
    exited: threading.Event = field(default_factory=threading.Event)


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[int, list[str]]]:
    """A container that answers with these, the last one for good; its port, and the paths that were asked for."""
    left, asked = list(statuses), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None: ...

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


def probed(port: int, pace: float = 0.01, **probe: Any) -> Verdict:
    kind = "tcpSocket" if "tcpSocket" in probe else "httpGet"
    probe = {"initialDelaySeconds": 0, "timeoutSeconds": 1, "periodSeconds": 1, "failureThreshold": 1, **probe}
    probe[kind] = {"port": 8080, **probe.get(kind, {"path": "/ready"})}
    container = {"startupProbe": probe, "ports": [{"containerPort": 8080}]}
    return wait_started(Instance(port), container, "c", pace, default=False)


def unused() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.parametrize("status", [200, 204, 301, 302, 399])
def test_any_2xx_or_3xx_is_an_answer(status: int) -> None:
    """A redirect is success as it stands: it is not followed, wherever it points."""
    with answering(status) as (port, asked):
        verdict = probed(port)
    assert (verdict.ok, asked) == (True, ["/ready"])
    assert verdict.log == 'STARTUP HTTP probe succeeded after 1 attempt for container "c" on port 8080 path "/ready".'


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_what_is_no_answer(status: int) -> None:
    """Cloud Run's sentence for the operation, and the system's line with count, container, port and path."""
    with answering(status) as (port, asked):
        verdict = probed(port, failureThreshold=2)
    assert (verdict.ok, verdict.sentence, len(asked)) == (False, HTTP_FAILED, 2)
    assert verdict.log.startswith(
        'STARTUP HTTP probe failed 2 times consecutively for container "c" on port 8080 path "/ready". '
        "The instance was not started. Connection failed with status "
    )


def test_what_loads_is_asked_again() -> None:
    """503 until it is ready: the number of attempts is told."""
    with answering(503, 503, 200) as (port, _):
        verdict = probed(port, failureThreshold=5)
    assert (verdict.ok, "succeeded after 3 attempts" in verdict.log) == (True, True)


def test_over_http_a_refused_connection_ends_the_attempt() -> None:
    """240/240/1, which is four minutes for TCP, fails at once: the period only spaces attempts, and there is no second one."""
    began = time.monotonic()
    verdict = probed(unused(), pace=0.001, **ONCE)
    assert time.monotonic() - began < 2
    assert (verdict.ok, verdict.sentence) == (False, HTTP_FAILED)
    assert verdict.log.endswith("The instance was not started. Connection failed with status ERROR_CONNECTION_FAILED.")


def test_over_tcp_one_attempt_goes_on_until_the_port_opens() -> None:
    """The same numbers over TCP: the port opens a moment later, and the one attempt succeeds."""
    port = unused()
    server = socket.socket()

    def late() -> None:
        server.bind(("127.0.0.1", port))
        server.listen()

    timer = threading.Timer(0.15, late)
    timer.start()
    verdict = probed(port, tcpSocket={}, **ONCE)
    timer.join()
    server.close()
    assert (verdict.ok, verdict.log) == (True, 'STARTUP TCP probe succeeded after 1 attempt for container "c" on port 8080.')
