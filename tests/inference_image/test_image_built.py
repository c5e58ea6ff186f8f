"""The Dockerfile as buildah builds it on a stand-in base, and the container that comes of it. Needs root: it is a chroot."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gemmactl.resources.built import DOCKERFILE
from gemmactl.resources.context import stage
from gemmactl.stack import SERVE_PACKAGES
from tests.inference_image.standin import Base

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "gemmactl" / "sandbox" / "sample" / "model"
ROOM = 4 * 2**30
"""Bytes that the images take for a while."""


@dataclass(frozen=True)
class Buildah:
    """One store of images, thrown away with its folder."""

    program: Path
    folder: Path

    def command(self, *words: str) -> list[str]:
        return [
            str(self.program),
            "--root",
            f"{self.folder}/store",
            "--runroot",
            f"{self.folder}/run",
            "--storage-driver=vfs",
            *words,
        ]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, env=self.environ)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.folder)}


@dataclass(frozen=True)
class Built:
    """The image `serve`, and what is mounted into it: torch, of which the stand-in base has no copy of its own."""

    buildah: Buildah
    log: str
    mounts: tuple[str, ...]

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.buildah("inspect", "--type", "image", "localhost/serve"))["OCIv1"]["config"]
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Iterator[Built]:
    program = tool("buildah")
    if os.geteuid() != 0:
        pytest.skip("buildah builds in a chroot, which takes root")
    folder = tmp_path_factory.mktemp("image")
    if shutil.disk_usage(folder).free < ROOM:
        pytest.skip(f"{ROOM // 2**30} GB of disk are not free")
    buildah = Buildah(program, folder)
    try:
        yield _build(buildah)
    finally:
        # what was mounted is gone with its process, or it would be deleted here together with the store
        if str(folder) not in Path("/proc/self/mounts").read_text():
            shutil.rmtree(folder, ignore_errors=True)


def _build(buildah: Buildah) -> Built:
    folder = buildah.folder
    base = Base(folder / "base")
    base.make()
    box = buildah("from", "scratch").strip()
    buildah("add", "--quiet", box, str(base.root), "/")
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", box)
    buildah("commit", "--quiet", "--rm", box, "standin")
    shutil.rmtree(base.root)
    wheels = _wheels(folder)
    conf = folder / "pip.conf"
    conf.write_text("[global]\nno-index = true\nfind-links = /wheels\n[install]\nno-compile = true\n")
    here = Path(torch.__file__).parents[1]
    parts = [p for pattern in ("torch", "torchgen", "functorch", "torch-*.dist-info") for p in here.glob(pattern)]
    mounts = tuple(f"--volume={part}:{base.python['purelib']}/{part.name}:ro" for part in parts)
    # exactly what Cloud Build gets: the staged tree, not the checkout
    context = folder / "context"
    stage(SERVE_PACKAGES).write_to(context)
    args = ["--isolation=chroot", "--layers=false", "--build-arg=BASE=localhost/standin", f"--volume={wheels}:/wheels:ro"]
    said = buildah(
        "bud",
        *args,
        f"--volume={conf}:/etc/pip.conf:ro",
        *mounts,
        f"--file={context / DOCKERFILE}",
        "--tag=serve",
        str(context),
    )
    return Built(buildah, said, mounts)


def _wheels(folder: Path) -> Path:
    """The very wheels that the file names, from where this machine's pip gets them."""
    file = ROOT / "inference_image" / "requirements.txt"
    exact = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet", "-r", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *exact, "-d", folder / "wheels"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "wheels"


def test_everything_is_installed_by_hash(built: Built) -> None:
    """Torch was there, as in a cached layer; all else came in as the wheels that the file names, and nothing is missing."""
    assert "Requirement already satisfied: torch==" in built.log
    rows = (ROOT / "inference_image" / "requirements.txt").read_text()
    wanted = {name.lower() for name in re.findall(r"^([\w.-]+)==", rows, re.MULTILINE)}
    (*_, last) = re.findall(r"^Successfully installed (.+)$", built.log, re.MULTILINE)
    known = set(re.findall(r"^Requirement already satisfied: ([\w.-]+)==", built.log, re.MULTILINE))
    got = {word.rpartition("-")[0] for word in last.split()} | known
    assert {name.lower().replace("_", "-") for name in got} >= wanted


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
    box = built.buildah("from", "localhost/serve").strip()
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
