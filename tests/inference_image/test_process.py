"""The server as a process: port before imports, readiness, drain, last line. Started as the container starts it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from inference_image.contract import EXIT_LOAD_FAILED, Code, LoadFailure
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.fake_storage import Bucket

ROOT = Path(__file__).parents[2]
SERVER = ("-m", "inference_image.server")
TOLD = """
import os, sys
from inference_image.server.__main__ import main
code = main()
print("imported:", *(name for name in sys.modules if name.partition(".")[0] in {"transformers", "sympy"}), file=sys.stderr)
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""
"""The server, which tells at its end what it has imported of libraries that take seconds."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """End it behind its test; a test that failed tells what it said and how it ended."""
    try:
        yield
    except Exception as error:
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        error.add_note("the process: {1}\n{2}\n{0}".format(process.poll(), *process.communicate()))
        raise
    finally:
        process.kill()
        process.communicate()


@contextmanager
def server(
    port: int, program: tuple[str, ...] = ("-m", "inference_image.server"), **environ: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env={**os.environ, "PORT": str(port), "HOST": "127.0.0.1", "OMP_NUM_THREADS": "1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ending(process):
        yield process


def get(port: int, path: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def until_open(port: int) -> None:
    """Wait for the port as the startup probe does."""
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the port never opened")


def test_a_start_from_the_store_to_the_end() -> None:
    """Port and health before the model, progress while it loads, ready after it, an answer finished after SIGTERM, exit 0.

    From birth to end nothing of transformers is imported.
    """
    bucket = Bucket()
    for path in MODEL.iterdir():
        bucket.put(f"m/{path.name}", path.read_bytes())
    port = free_port()
    with fake_storage.running(bucket) as address:
        bucket.hold.clear()  # the store is silent: nothing can be loaded yet
        with server(port, ("-c", TOLD), GEMMACTL_MODEL="gs://bucket/m", STORAGE_EMULATOR_HOST=address) as process:
            until_open(port)
            assert get(port, "/health") == (200, {"status": "ok"})
            status, progress = get(port, "/ready")
            assert status == 503
            assert progress.keys() == {"stage", "bytes_done", "bytes_total", "eta_s"}
            assert progress["bytes_done"] == 0
            bucket.hold.set()
            while get(port, "/ready")[0] != 200:
                time.sleep(0.05)
            assert {"model", "engine", "device", "dtype", "context", "rows"} <= get(port, "/version")[1].keys()
            record = get(port, "/v1/timeline")[1]
            starts = {phase["name"]: phase["start"] for phase in record["phases"]}  # type: ignore[index,attr-defined]
            assert starts["bind port"] < starts["list objects"] < starts["import torch"] < starts["first token"]
            assert all(one["verified"] for one in record["objects"])  # type: ignore[index,attr-defined]

            answers: list[tuple[int, object]] = []

            def ask() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                body = json.dumps({"type": "translation", "prompt": "Hello.", "max_tokens": 100})
                connection.request("POST", "/generate", body)
                response = connection.getresponse()
                answers.append((response.status, json.loads(response.read())))

            askers = [threading.Thread(target=ask) for _ in range(3)]
            for one in askers:
                one.start()
            while not answers:
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
            for one in askers:
                one.join(5)
    assert process.returncode == 0, err
    assert answers[0] == (200, "안녕하세요.")
    # Those that came after the signal may be refused, but none may be cut.
    assert all(answer == (200, "안녕하세요.") or answer[0] == 503 for answer in answers)
    lines = [json.loads(line) for line in out.splitlines()]
    ready = next(line for line in lines if "timeline" in line)
    assert (ready["timeline"]["bytes"], ready["timeline"]["modules"]) == (1691264, "our own")
    assert err.splitlines()[-1] == "imported:"
    assert "Hello" not in out


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"GEMMACTL_MODEL": "nowhere"}, Code.MODEL_NOT_FOUND),
        ({"GEMMACTL_MODEL": ""}, Code.SETTING_INVALID),
        ({"GEMMACTL_MODEL": "m", "GEMMACTL_DTYPE": "float16"}, Code.DTYPE_UNSUPPORTED),
        ({"GEMMACTL_MODEL": "m", "GEMMACTL_CONNECTIONS": "many"}, Code.SETTING_INVALID),
    ],
)
def test_a_failed_load_is_the_last_line(environ: dict[str, str], code: Code) -> None:
    """The process ends with its own exit code, and the last line of stdout says why in the contract's form."""
    with server(free_port(), **environ) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_LOAD_FAILED
    failure = LoadFailure.parse(json.loads(out.splitlines()[-1]))
    assert failure is not None
    assert failure.code is code


def test_a_taken_port_is_told() -> None:
    """Two servers on one port: the second says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken, server(taken.getsockname()[1], GEMMACTL_MODEL=str(MODEL)) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_LOAD_FAILED
    assert "can't listen" in out.splitlines()[-1]


def test_a_reading_process_starts_with_little() -> None:
    """What its first request doesn't need is not imported: each of these is a hundredth of a second before the first byte."""
    code = (
        "import sys, inference_image.chunks.child as child, inference_image.chunks.gcs; child.prepare();"
        " print(sorted({'argparse', 'importlib.metadata', 'concurrent.futures', 'logging', 'encodings.idna'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_server_needs_no_torch_to_answer() -> None:
    """Everything that runs before the model is built imports neither torch nor transformers."""
    code = (
        "import sys; import inference_image.server.process, inference_image.server.app, inference_image.engine.load,"
        " inference_image.chunks.gcs, inference_image.chunks.hub;"
        " print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_contract_needs_nothing() -> None:
    """contract, layout, reserve, presets and settings import the standard library alone: gemmactl starts fast with them."""
    code = (
        "import sys; before = set(sys.modules); import inference_image.contract, inference_image.layout, inference_image.reserve,"
        " inference_image.presets, inference_image.settings;"
        " print(sorted(name for name in {n.partition('.')[0] for n in set(sys.modules) - before}"
        " if name not in sys.stdlib_module_names and name != 'inference_image'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
