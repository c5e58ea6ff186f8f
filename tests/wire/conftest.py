"""A user's terminal whose every call to Google passes a recorder, with a sandbox behind it. Knows no verb."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gemmactl.sandbox import daemon
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.front_door import LOGIN_CLIENTS
from tests.fakes.recorder import Recorder

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
SAMPLE = ROOT / "gemmactl" / "sandbox" / "sample" / "model"


@dataclass
class Desk:
    """A user's terminal on a machine that knows Google only through the proxy."""

    recorder: Recorder
    home: Path
    endpoint: Endpoint

    def watch(self) -> Path:
        folder = self.home.parent / "watch"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(WATCH)
        return folder

    def start(self, *argv: str, **more: str) -> subprocess.Popen[str]:
        """A verb as a process of its own, with JSON as its format."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("GEMMACTL_", "GOOGLE_", "CLOUDSDK_"))}
        env = {
            **own,
            **self.recorder.environment(),
            "PYTHONPATH": f"{self.watch()}{os.pathsep}{ROOT}",
            "HEARD": str(self.home.parent / "heard"),
            "HOME": str(self.home),
            "CLOUDSDK_CONFIG": str(self.home / "gcloud"),
            "XDG_STATE_HOME": str(self.home / "state"),
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
