"""The Dockerfile as buildah builds it on a stand-in base, and the container that comes of it. Needs root: it is a chroot."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gemmactl.stack import SERVE_PACKAGES
from tests.inference_image.built import NAME, ROOT, Built, building

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SAMPLE = ROOT / "gemmactl" / "sandbox" / "sample" / "model"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Iterator[Built]:
    with building(tmp_path_factory.mktemp("image"), tool("buildah"), SERVE_PACKAGES) as made:
        yield made


def test_everything_is_installed_by_hash(built: Built) -> None:
    """Torch was there, as in a cached layer; all else came in as the wheels that the file names, and nothing is missing."""
    assert "Requirement already satisfied: torch==" in built.log
    assert built.missing("inference_image") == set()


def test_the_config_of_the_image(built: Built) -> None:
    """Not root, the exec form, a port; no secret and no address of this machine in its variables."""
    config = built.config
    assert config["User"] == "10001"
    assert config["Entrypoint"] == ["python3", "-m", "inference_image.server"]
    assert [port.partition("/")[0] for port in config["ExposedPorts"]] == ["8080"]
    assert "wheels" not in " ".join(config["Env"])


def test_the_container_answers_as_nobody_and_drains(built: Built) -> None:
    """From its own entry point: /health, /ready, an answer of the sample model; SIGTERM ends it with 0 in Cloud Run's time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    box = built.buildah("from", f"localhost/{NAME}").strip()
    env = {"PORT": str(port), "GEMMACTL_MODEL": "/model", "K_SERVICE": "serve", "OMP_NUM_THREADS": "1"}
    options = [f"--env={key}={value}" for key, value in env.items()]
    words = [
        "run",
        "--isolation=chroot",
        *options,
        f"--volume={SAMPLE}:/model:ro",
        *built.mounts,
        box,
        "--",
        *built.config["Entrypoint"],
    ]
    log = built.buildah.folder / "server.log"
    with log.open("w") as out:
        running = subprocess.Popen(built.buildah.command(*words), stdout=out, stderr=out, env=built.buildah.environ)
    try:
        assert _get(port, "/health", running, log) == {"status": "ok"}
        _get(port, "/ready", running, log)
        body = json.dumps({"prompt": "Hello", "max_tokens": 4, "format": "full"}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/generate", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert json.load(answer)["usage"]["completion_tokens"] > 0
        (server,) = _servers(port)
        assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", Path(f"/proc/{server}/status").read_text(), re.MULTILINE)
        os.kill(server, signal.SIGTERM)
        assert running.wait(10) == 0, log.read_text()[-2000:]
    finally:
        for server in _servers(port):
            os.kill(server, signal.SIGKILL)
        running.wait(30)


def _get(port: int, route: str, running: subprocess.Popen[bytes], log: Path) -> Any:
    until = time.monotonic() + 180
    while time.monotonic() < until and running.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{route}", timeout=10) as answer:
                return json.load(answer)
        except OSError:  # not there yet, or 503 while it loads
            time.sleep(0.5)
    raise AssertionError(f"{route} never answered:\n{log.read_text()[-3000:]}")


def _servers(port: int) -> list[int]:
    """Processes of the server that was given this port, seen from outside the chroot; not those that it starts itself."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environ, words = (entry / "environ").read_bytes().split(b"\0"), (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if f"PORT={port}".encode() in environ and b"inference_image.server" in words:
            found[int(entry.name)] = parent
    return [one for one, parent in found.items() if parent not in found]
