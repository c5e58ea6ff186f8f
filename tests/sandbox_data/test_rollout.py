"""A roll-out over the real clients: gemmactl's own service and verbs against the sandbox, whose containers are processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemmactl.client.wire import Https
from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan
from gemmactl.resources import mark, service_traffic
from gemmactl.resources.service import Service
from gemmactl.resources.service_rollout import Rollout
from gemmactl.resources.service_types import Container, EnvVar, Probe
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.serving.place import Place
from gemmactl.serving.rollout import Prover
from gemmactl.serving.stopping import start, stop
from gemmactl.serving.traffic import promote, rollback
from gemmactl.settings import Settings, Value, load
from tests.serving.ear import ANSWER, Ear

from .conftest import RUN_SA, TAG, Cloud, context

READY = Probe("http", 8080, "/ready", None, 0, 2, 2, 300)
GENERATES = f"""
import http.server, json, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.do_POST()
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(500 if os.environ.get("DUMB") and self.path != "/ready" else 200); self.end_headers()
        self.wfile.write(json.dumps({{**{ANSWER!r}, "text": os.environ["K_REVISION"]}}).encode())
if os.environ.get("CRASH"): raise RuntimeError("no such model")
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), H).serve_forever()
"""


class Desk:
    """One service of ours on the sandbox, and the verbs as they are typed."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        world = cloud.world
        self.cloud = connect(world.project, Endpoint(world.base_url, world.project, world.number, secret=world.secret))
        self.place = Place(
            Value(world.project, "--project"), Value("us-central1", "default"), "cloud", self.cloud, Https({"NO_PROXY": "*"})
        )
        self.settings: Settings = load({}, folder, folder)
        self.wish = Service(
            world.project, "us-central1", "stub", (Container(TAG, env=(), startup_probe=READY),), service_account=RUN_SA,
            labels=mark.OURS, invoker_iam_disabled=True,
        )  # fmt: skip

    def deploy(self, share: int = 100, **env: str) -> Trouble | None:
        """What failed."""
        box = Container(TAG, env=tuple(EnvVar(k, v) for k, v in env.items()), startup_probe=READY)
        prover = Prover(self.place, Ear())
        wish = Service(**{**vars(self.wish), "containers": (box,), "rollout": Rollout(share, True, prover)})
        outcome = apply(make_plan([wish], self.cloud), self.cloud)
        if outcome.ok:
            assert make_plan([wish], self.cloud).work == ()
        return next(iter(outcome.failed.values()), None)

    @property
    def live(self) -> dict[str, Any]:
        return self.cloud.run.get(self.wish.full_name) or {}

    def serves(self) -> dict[int, int]:
        """Number of the revision -> its share."""
        return {int(name.split("-")[-2]): share for name, share in service_traffic.shares(self.live).items()}

    def answer(self) -> tuple[int, str]:
        reply = self.place.wire.send("POST", f"{self.live['uri']}/generate", {}, b"{}", 30)
        text = reply.json()
        return reply.status, text["text"].rpartition("-")[0] if isinstance(text, dict) else ""

    def verb(self, run: Any, *argument: str | None, **more: Any) -> Any:
        return run(self.place, self.settings, *(argument or (None,)), Ear(), **more)


@pytest.fixture
def desk(ground: Cloud, tmp_path: Path) -> Desk:
    build = ground.build(context(**{"stub/main.py": GENERATES}))
    assert build.status.name == "SUCCESS"
    return Desk(ground, tmp_path)


def test_a_services_life(desk: Desk) -> None:
    """Closed then open; a dumb and a crashing revision get nothing; canary, promote, rollback, stop and start, all for real."""
    assert desk.deploy() is None
    assert desk.live["invokerIamDisabled"] is True
    assert desk.answer() == (200, "stub-00001")

    dumb = desk.deploy(DUMB="1")
    assert (dumb and dumb.facts["gate"], desk.serves(), desk.answer()) == ("smoke", {1: 100}, (200, "stub-00001"))
    crashed = desk.deploy(CRASH="1")
    assert crashed is not None
    assert (crashed.code, crashed.why, desk.serves()) == ("rollout-failed", "RuntimeError: no such model", {1: 100})
    assert any("Traceback" in line for line in crashed.facts["logs"])

    assert desk.deploy(share=10, V="2") is None
    newest = max(desk.serves())
    assert desk.serves() == {1: 90, newest: 10}
    assert desk.verb(promote).data["changed"] is True
    assert desk.answer() == (200, f"stub-{newest:05d}")
    assert desk.verb(rollback).data["smoke"]["text"].startswith("stub-00001")
    assert desk.answer() == (200, "stub-00001")

    desk.verb(stop)
    assert desk.answer()[0] == 503
    assert desk.live["scaling"]["manualInstanceCount"] == 0
    desk.verb(start)
    assert desk.answer() == (200, "stub-00001")
