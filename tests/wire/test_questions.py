"""What is asked at a terminal, at the wire: the real command line in a pseudo terminal, its writes recorded at each answer."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import YOU
from gemmactl.sandbox.rollout import REVISIONS, SERVICES
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from gemmactl.serving.deploy import deploy
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.fakes.recorder import Recorder
from tests.serving.ear import Answers, Ear, place
from tests.wire.conftest import ROOT, SAMPLE
from tests.wire.test_deploy import reads

PROMPT = "[y/N] "
APIS = ("run", "iam", "logging", "storage", "cloudresourcemanager", "artifactregistry", "cloudbuild", "secretmanager")
NAME = "projects/gemmactl-sandbox/locations/us-central1/services/gemma"


@dataclass
class Desk:
    """A terminal before a sandbox, with a recorder between them."""

    folder: Path
    world: World
    recorder: Recorder

    def typed(self, *argv: str, answers: tuple[str, ...]) -> tuple[int, str, list[int]]:
        """A verb, answered question by question: exit code, screen, and how many writes there had been at each question."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("GEMMACTL_", "GOOGLE_", "CLOUDSDK_")) and k != "CI"}
        env = {**own, **self.recorder.environment(), "PYTHONPATH": str(ROOT), "HOME": str(self.folder), "TERM": "dumb"}
        env |= {"CLOUDSDK_CONFIG": str(self.folder / "none"), "COLUMNS": "130"}
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
                if screen.endswith(PROMPT) and left:
                    writes.append(len(self.writes))
                    os.write(mine, f"{left.pop(0)}\n".encode())
        os.close(mine)
        return process.wait(10), screen, writes

    @property
    def writes(self) -> list[str]:
        return [f"{e.method} {e.host}{e.path.partition('?')[0]}" for e in self.recorder.exchanges if not reads(e)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A project whose owner has one service that asks for keys, as a deploy in memory left it."""
    cloud = FakeCloud("gemmactl-sandbox")
    wish = Serve("gemmactl-sandbox", "us-central1", parse_model(str(SAMPLE)), "gemma", auth="api-key")
    deploy(wish, place(cloud, Answers(401)), Ear(), yes=True)
    world = assemble(World(tmp_path / "home"))
    for api in APIS:
        switch_on(world, f"{api}.googleapis.com")
    world.store.put(SERVICES, NAME, {**cloud.state.services[NAME], "invokerIamDisabled": True})
    for name, revision in cloud.state.revisions.items():
        world.store.put(REVISIONS, name, revision)
    server = Server(world)
    server.start()
    upstream, you = world.base_url.removeprefix("http://"), f"user:{YOU}"
    recorder = Recorder(tmp_path, upstream, lambda: world.tokens.access(YOU), lambda: world.tokens.identity(YOU, "x"), you)
    yield Desk(tmp_path, world, recorder)
    recorder.close()
    server.shutdown()
    server.server_close()
    world.close()


def test_opening_a_guarded_service_is_asked_twice(desk: Desk) -> None:
    """From API keys to everybody: yes to the plan and no to the second question, and nothing was written."""
    code, screen, writes = desk.typed("deploy", str(SAMPLE), "--name", "gemma", "--auth", "public", answers=("y", "n"))
    assert (code, writes, desk.writes) == (1, [0, 0], [])
    assert "GEMMACTL_KEYS: /secrets/gemmactl/keys.json -> none" in screen
    assert screen.index("Apply this plan? [y/N] y") < screen.index("Open it to everybody? [y/N] n")
    assert "anybody on the internet may then call it" in screen
    assert "that the service is opened was not confirmed" in screen


def test_destroy_asks_and_removes_after_the_answer_alone(desk: Desk) -> None:
    """Anything but a yes removes nothing; yes removes the service, and no write comes before it."""
    code, screen, writes = desk.typed("destroy", "gemma", answers=("",))
    assert (code, writes, desk.writes) == (1, [0], [])
    assert "nothing was removed" in screen
    code, _, writes = desk.typed("destroy", "gemma", answers=("yes",))
    assert (code, writes) == (0, [0])
    assert f"DELETE run.googleapis.com/v2/{NAME}" in desk.writes
    assert desk.world.store.get(SERVICES, NAME) is None
