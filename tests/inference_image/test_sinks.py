"""A server process that breaks: no prompt in any sink, one last line, nothing lost that could be finished."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inference_image import api_keys
from inference_image.contract import EXIT_LOAD_FAILED, PROBE_HEADER, LoadFailure
from tests.inference_image.test_process import ending, free_port, until_open

ROOT = Path(__file__).parents[2]
CANARY = "canary-that-nobody-may-read"


@contextmanager
def fragile(drain_seconds: float, **environ: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port and process of a server whose model does what the prompt says, once it is ready."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.inference_image.fragile", str(drain_seconds)],
        cwd=ROOT,
        env={**os.environ, "PORT": str(port), "HOST": "127.0.0.1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ending(process):
        until_open(port)
        while call(port, "GET", "/health", **{PROBE_HEADER: "ready"})[0] != 200:
            time.sleep(0.02)
        yield port, process


def call(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def ask(port: int, prompt: str, **fields: Any) -> tuple[int, str]:
    return call(port, "POST", "/generate", {"type": "translation", "prompt": prompt, "max_tokens": 3, **fields})


def busy(port: int) -> int:
    """Requests that run or wait, as /metrics tells it."""
    text = call(port, "GET", "/metrics")[1]
    return sum(int(float(number)) for number in re.findall(r"^gemmactl_requests_(?:running|waiting) (\S+)$", text, re.MULTILINE))


def test_no_sink_gets_a_prompt_and_a_dead_engine_ends_the_process() -> None:
    """A canary through answers, refusals, failures, libraries' lines, dying threads and the engine's own death.

    It is in no log line, no error body, no metric and not in the timeline; the last line says why the process ended.
    """
    with fragile(1) as (port, process):
        answers = [
            ask(port, f"hello {CANARY}"),
            ask(port, f"talk {CANARY}"),
            ask(port, CANARY, beams=CANARY, stop=[CANARY, 1]),
            call(port, "POST", "/generate", b'{"prompt": "' + CANARY.encode()),
            call(port, "POST", f"/{CANARY}?q={CANARY}", {}, traceparent=CANARY),
            ask(port, f"fail {CANARY}"),
            ask(port, f"fail {CANARY}", stream=True),
            call(port, "POST", "/v1/completions", {"model": "m", "prompt": f"fail {CANARY}", "best_of": CANARY}),
            call(port, "POST", "/v1/completions", {"model": "m", "prompt": f"fail {CANARY}"}),
            call(port, "GET", "/metrics"),
            call(port, "GET", "/v1/timeline"),
            ask(port, f"die {CANARY}"),
        ]
        out, err = process.communicate(timeout=20)
    assert [status for status, _ in answers] == [200, 200, 422, 400, 404, 500, 500, 400, 500, 200, 200, 500]
    assert process.returncode == EXIT_LOAD_FAILED
    assert not [text for text in (*(text for _, text in answers), out, err) if CANARY in text]
    assert not err
    lines = [json.loads(line) for line in out.splitlines()]
    failure = LoadFailure.parse(lines[-1])
    assert failure is not None
    assert (str(failure.code), failure.object, failure.detail) == ("crashed", "engine", "the engine's thread ended: Panic")
    messages = [line["message"] for line in lines]
    assert messages[-2] == "still here"  # another thread wrote to the end, and not beyond it
    for expected in (
        "transformers.generation: (text left out)",
        "uvicorn.error: Exception in ASGI application",
        "asyncio: Exception in callback print",
        "UserWarning: (text left out)",
        "a thread died",
        "an exception that nobody could take",
    ):
        assert expected in messages


@pytest.mark.long
def test_a_crash_in_a_load_ends_with_its_line() -> None:
    """What nobody foresaw has the contract's code and form, and no thread writes after it."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.inference_image.fragile", "1", "crash"],
        cwd=ROOT,
        env={**os.environ, "PORT": str(free_port()), "HOST": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == EXIT_LOAD_FAILED
    *before, last = [json.loads(line) for line in ran.stdout.splitlines()]
    failure = LoadFailure.parse(last)
    assert failure is not None
    assert (str(failure.code), failure.object, failure.detail) == ("crashed", "server", "ZeroDivisionError: division by zero")
    assert "still here" in [line["message"] for line in before]


def test_no_sink_gets_a_key(tmp_path: Path) -> None:
    """Keys in every header that may hold one, known, unknown and in wrong places, through refusals and a dying engine."""
    key, stranger = api_keys.fresh(), api_keys.fresh()
    kept = api_keys.of(key)
    (tmp_path / "keys.json").write_bytes(api_keys.written([kept]))
    with fragile(1, GEMMACTL_KEYS=str(tmp_path / "keys.json")) as (port, process):
        body = {"type": "translation", "prompt": "hello", "max_tokens": 3}
        answers = [
            call(port, "POST", "/generate", body, **{"x-api-key": key}),
            call(port, "POST", "/generate", body, Authorization=f"Bearer {key}"),
            call(port, "POST", "/generate", body, Authorization=f"Bearer {stranger}"),
            call(port, "POST", "/generate", body, **{"x-api-key": stranger * 20}),
            call(port, "POST", f"/{key}", body, Authorization=f"Basic {key}"),
            call(port, "GET", "/metrics", **{"x-api-key": key}),
            call(port, "GET", "/v1/timeline", **{"x-api-key": key}),
            call(port, "POST", "/generate", {**body, "prompt": "fail"}, **{"x-api-key": key}),
            call(port, "POST", "/generate", {**body, "prompt": "die"}, **{"x-api-key": key}),
        ]
        out, err = process.communicate(timeout=20)
    assert [status for status, _ in answers] == [200, 200, 401, 401, 401, 200, 200, 500, 500]
    sinks = (*(text for _, text in answers), out, err)
    assert not [text for text in sinks if key in text or stranger in text or kept.sha256 in text]
    assert f'"key": "{kept.id}"' in out
    assert f'gemmactl_key_requests_total{{key="{kept.id}"}} 2.0' in answers[5][1]


def test_sigterm_under_load_finishes_what_fits() -> None:
    """Those that fit in the drain's time get all of their answer, later ones 503, the one that doesn't fit its reason; exit 0."""
    answers: dict[str, tuple[int, str]] = {}

    def asker(name: str, tokens: int, **fields: Any) -> threading.Thread:
        def run() -> None:
            answers[name] = ask(port, "hello", max_tokens=tokens, **fields)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with fragile(1.5, GEMMACTL_LOG_PROMPTS="1") as (port, process):
        short = [asker(f"short {number}", 20, format="full") for number in range(4)]
        while len(answers) < 1:
            time.sleep(0.005)
        long = [asker("long", 90_000), asker("stream", 90_000, stream=True)]
        while len(answers) + busy(port) < 6:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        while call(port, "GET", "/ready")[0] != 503:
            time.sleep(0.005)
        late = ask(port, "too late")
        out, err = process.communicate(timeout=20)
        for thread in (*short, *long):
            thread.join(5)
    assert process.returncode == 0, err
    for number in range(4):
        status, text = answers[f"short {number}"]
        assert (status, json.loads(text)["usage"]["completion_tokens"]) == (200, 20)
    for status, text in (late, answers["long"]):
        assert (status, json.loads(text)["error"]["code"]) == (503, "draining")
    status, text = answers["stream"]
    *pieces, cut, done = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert (status, done, json.loads(pieces[0])["text"][0]) == (200, "[DONE]", "a")
    assert json.loads(cut)["error"]["code"] == "draining"
    last = [json.loads(line) for line in out.splitlines() if '"request"' in line][-1]
    assert last["request"]["code"] == "draining"
    assert last["request"]["stop_reason"] == "cancelled"
    assert (last["request"]["prompt"], last["request"]["answer"][:3]) == ("hello", "aaa")  # asked for by the environment
