"""A user's terminal whose every call to Google passes a recorder, with a sandbox behind it. Knows no verb."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gemmactl.sandbox import daemon
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import YOU, Endpoint
from gemmactl.sandbox.front_door import LOGIN_CLIENTS
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from tests.fakes.recorder import Exchange, Recorder

ROOT = Path(__file__).parents[2]
WATCH = """
import os, sys

def heard(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        with open(os.environ["HEARD"], "a") as file:
            file.write(f"{args[1][0]}\\n")

sys.addaudithook(heard)
"""
"""A sitecustomize: where each process connects to, also when it goes past the proxy."""
READS = re.compile(r":(getIamPolicy|testIamPermissions|batchGet|access)$|/entries:list$")
QUESTIONS = ("[y/N] ", "to go on: ")
"""How what is asked ends."""
APIS = ("run", "iam", "logging", "storage", "cloudresourcemanager", "artifactregistry", "cloudbuild", "secretmanager")
SAMPLE = ROOT / "gemmactl" / "sandbox" / "sample" / "model"


def reads(exchange: Exchange) -> bool:
    """A call that can't change anything (Google writes some reads as POST)."""
    path = exchange.path.partition("?")[0]
    dry = "validateOnly=true" in exchange.path
    return exchange.method in ("GET", "HEAD") or bool(READS.search(path)) or dry or exchange.host == "oauth2.googleapis.com"


def watch(folder: Path) -> Path:
    """A folder for PYTHONPATH whose processes write down whom they connect to."""
    made = folder / "watch"
    made.mkdir(exist_ok=True)
    (made / "sitecustomize.py").write_text(WATCH)
    return made


@dataclass
class Desk:
    """A user's terminal on a machine that knows Google only through the proxy."""

    recorder: Recorder
    home: Path
    endpoint: Endpoint

    def start(self, *argv: str, **more: str) -> subprocess.Popen[str]:
        """A verb as a process of its own, with JSON as its format."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("GEMMACTL_", "GOOGLE_", "CLOUDSDK_"))}
        env = {
            **own,
            **self.recorder.environment(),
            "PYTHONPATH": f"{watch(self.home.parent)}{os.pathsep}{ROOT}",
            "HEARD": str(self.home.parent / "heard"),
            "HOME": str(self.home),
            "CLOUDSDK_CONFIG": str(self.home / "gcloud"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "CI": "true",
            **more,
        }
        place = ("--project", self.endpoint.project, "--format", "json")
        return subprocess.Popen(
            [sys.executable, "-m", "gemmactl", *argv, *place],
            env=env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*argv, **more)
        out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A sandbox of its own behind a recorder."""
    home = tmp_path / "sandbox"
    endpoint = daemon.ensure(home)
    recorder = Recorder(
        tmp_path,
        endpoint.base_url.removeprefix("http://"),
        endpoint.token,
        lambda: endpoint.id_token(min(LOGIN_CLIENTS)),
        endpoint.caller,
    )
    (tmp_path / "user").mkdir()
    yield Desk(recorder, tmp_path / "user", endpoint)
    recorder.close()
    daemon.stop(home)


@dataclass
class Terminal:
    """A person's terminal before a sandbox of this process, with a recorder between them."""

    folder: Path
    world: World
    recorder: Recorder

    def typed(self, *argv: str, answers: tuple[str, ...]) -> tuple[int, str, list[int]]:
        """A verb, answered question by question: exit code, screen, and how many writes there had been at each question."""
        env = self._environment()
        mine, theirs = pty.openpty()
        line = [sys.executable, "-m", "gemmactl", *argv, "--project", "gemmactl-sandbox"]
        process = subprocess.Popen(line, env=env, cwd=self.folder, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        left, screen, writes, end = list(answers), "", [], time.monotonic() + 100
        with contextlib.suppress(OSError):  # the other end is closed
            while time.monotonic() < end:
                if not select.select([mine], [], [], 1)[0]:
                    continue
                screen += os.read(mine, 65536).decode(errors="replace").replace("\r\n", "\n")
                if screen.endswith(QUESTIONS) and left:
                    writes.append(len(self.writes))
                    os.write(mine, f"{left.pop(0)}\n".encode())
        os.close(mine)
        return process.wait(10), screen, writes

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A verb that nobody can be asked."""
        env = {**self._environment(), **more}
        line = [sys.executable, "-m", "gemmactl", *argv, "--project", "gemmactl-sandbox", "--format", "json"]
        return subprocess.run(
            line, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
        )

    def _environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("GEMMACTL_", "GOOGLE_", "CLOUDSDK_"))}
        own = {k: v for k, v in own.items() if k not in ("CI", "HF_HUB_OFFLINE")}
        path = f"{watch(self.folder)}{os.pathsep}{ROOT}"
        mine = {"PYTHONPATH": path, "HEARD": str(self.folder / "heard"), "HOME": str(self.folder), "TERM": "dumb"}
        return {**own, **self.recorder.environment(), **mine, "CLOUDSDK_CONFIG": str(self.folder / "none")}

    @property
    def heard(self) -> set[str]:
        """Addresses that a connection was opened to."""
        return set((self.folder / "heard").read_text().split())

    @property
    def writes(self) -> list[str]:
        return [f"{e.method} {e.host}{e.path.partition('?')[0]}" for e in self.recorder.exchanges if not reads(e)]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Its owner's, with the APIs of a deploy enabled."""
    world = assemble(World(tmp_path / "home"))
    world.settings = replace(world.settings, pace=0.0)
    for api in APIS:
        switch_on(world, f"{api}.googleapis.com")
    server = Server(world)
    server.start()
    upstream, you = world.base_url.removeprefix("http://"), f"user:{YOU}"
    recorder = Recorder(tmp_path, upstream, lambda: world.tokens.access(YOU), lambda: world.tokens.identity(YOU, "x"), you)
    yield Terminal(tmp_path, world, recorder)
    recorder.close()
    server.shutdown()
    server.server_close()
    world.close()
