"""A service in memory whose rollouts tests watch: wishes, a wire that looks at it, shares and pending fields."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gemmactl.client.wire import Reply
from gemmactl.resources.cloud import Json
from gemmactl.result import Line, Result
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.rollout import Way
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import ANSWER, Answers, Ear, place

IMAGE = "us-docker.pkg.dev/other/repo/image@sha256:" + "ab" * 32
WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", image=IMAGE)
NEXT = replace(WISH, timeout=900)
PUBLIC = replace(WISH, auth="public")
NAME = "projects/demo-proj/locations/us-central1/services/gemma"
URL = "https://gemma-123456789012.us-central1.run.app"
FAILURE = "The user-provided container failed the configured startup probe checks."
NEWEST = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}
DEAD = Answers(500, {"error": {"message": "nan"}})


@dataclass
class Looking:
    """A wire that answers, after it looked at the service (or did something else meanwhile)."""

    cloud: FakeCloud
    then: Callable[[], object] = lambda: None
    seen: list[tuple[str, Json]] = field(default_factory=list)
    audiences: list[str] = field(default_factory=list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        self.seen.append((url, dict(self.cloud.state.services[NAME])))
        self.audiences.append(headers.get("Authorization", "").removeprefix("Bearer id-token-for-"))
        then, self.then = self.then, lambda: None
        then()
        return Reply(200, {}, json.dumps(ANSWER).encode())


def live(cloud: FakeCloud) -> Json:
    return cloud.state.services[NAME]


def run(cloud: FakeCloud, wish: Serve = WISH, wire: Any = None, **how: Any) -> Result:
    return deploy(wish, place(cloud, wire), Ear(), yes=True, way=Way(**how))


def shares(body: Json) -> dict[str, int]:
    found: Counter[str] = Counter()
    for target in body["trafficStatuses"]:
        found[target["revision"]] += target.get("percent", 0)
    return dict(found)


def pending(cloud: FakeCloud, wish: Serve = WISH) -> list[str]:
    """Fields that a plan would change."""
    return [f["field"] for s in plan(wish, place(cloud), again="").data["steps"] for f in s["fields"]]


def said(result: Result) -> str:
    return "\n".join(b.text for b in result.blocks if isinstance(b, Line))
