"""API keys: what is kept of them, who is let in, how often, and what is told about it."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from inference_image import api_keys
from inference_image.contract import KEYS_SECONDS, KEYS_UNKNOWN_SECONDS, PROBE_HEADER
from inference_image.server.app import create_app
from inference_image.server.guard import Guard, presented
from inference_image.server.keyring import Keyring
from inference_image.server.metrics import KEYS_MOST, Metrics
from inference_image.server.record import Record
from inference_image.server.service import Service
from inference_image.server.watch import Watch
from inference_image.settings import Settings
from inference_image.timeline import Timeline

KEY = api_keys.fresh()
OTHER = api_keys.fresh()


@dataclass
class Door:
    """Two routes behind the guard, with a file of keys, a clock and the lines that are written."""

    path: Path
    clock: list[float] = field(default_factory=lambda: [0.0])
    today: list[dt.datetime] = field(default_factory=lambda: [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)])
    lines: list[Any] = field(default_factory=list)
    app: FastAPI = field(default_factory=FastAPI)

    def __post_init__(self) -> None:
        @self.app.get("/health")
        async def health() -> str:
            return "ok"

        @self.app.post("/v1/completions")
        @self.app.post("/generate")
        @self.app.get("/generate")
        async def generate() -> str:
            return "answer"

        def write(severity: str, message: str, **fields: Any) -> None:
            self.lines.append((severity, message, fields))

        self.service = Service(Settings(model="m"), Timeline())
        ring = Keyring(self.path, clock=lambda: self.clock[0], now=lambda: self.today[0], write=write)
        self.app.add_middleware(Guard, keyring=ring)
        self.app.add_middleware(Watch, service=self.service, write=write)

    def keep(self, *keys: api_keys.ApiKey) -> None:
        self.path.write_bytes(api_keys.written(keys))

    def ask(self, *wanted: tuple[str, str, dict[str, str]]) -> list[Response]:
        """(method, path, headers) one after another."""
        return asked(self.app, *wanted)


def asked(app: FastAPI, *wanted: tuple[str, str, dict[str, str]]) -> list[Response]:
    async def run() -> list[Response]:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as client:
            return [await client.request(method, path, headers=headers) for method, path, headers in wanted]

    return asyncio.run(run())


def post(key: str, path: str = "/generate") -> tuple[str, str, dict[str, str]]:
    return "POST", path, {"x-api-key": key}


@pytest.fixture
def door(tmp_path: Path) -> Door:
    made = Door(tmp_path / "keys.json")
    made.keep(api_keys.of(KEY, label="ci"))
    return made


def test_what_is_kept_is_no_key() -> None:
    """The file has the hash and its first digits; what is read back is what was written."""
    keys = (api_keys.of(KEY, label="ci", created="2026-11-26T04:10:00Z", per_minute=60, expires="2027-01-01T00:00:00Z"),)
    data = api_keys.written(keys)
    assert KEY not in data.decode()
    assert api_keys.read(data) == keys
    assert api_keys.holder(keys, KEY) == keys[0]
    assert api_keys.holder(keys, KEY[:-1]) is None
    assert len({api_keys.fresh() for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: b"{", "JSON"),
        (lambda d: json.dumps({**d, "schema": "x"}).encode(), "gemmactl/keys.v1"),
        (lambda d: json.dumps({**d, "keys": d["keys"] * 101}).encode(), "at most 100"),
        (lambda d: json.dumps({**d, "keys": [{**d["keys"][0], "sha256": "00"}]}).encode(), "no hash"),
        (lambda d: json.dumps({**d, "keys": [{**d["keys"][0], "per_minute": 0}]}).encode(), "per_minute"),
        (lambda d: json.dumps({**d, "keys": [{**d["keys"][0], "expires": "soon"}]}).encode(), "expires"),
        (lambda d: json.dumps({**d, "keys": ["x"]}).encode(), "no id"),
    ],
)
def test_a_file_that_is_none_is_refused(change: Callable[[Any], bytes], word: str) -> None:
    """With a reason that repeats nothing of it."""
    document = json.loads(api_keys.written([api_keys.of(KEY)]))
    with pytest.raises(ValueError, match=word) as caught:
        api_keys.read(change(document))
    assert document["keys"][0]["sha256"] not in str(caught.value)


def test_every_route_but_health_asks(door: Door) -> None:
    """Whatever the method, and for paths that are none of ours too; each family has its own form of a refusal."""
    paths = ("/generate", "/v1/completions", "/", "/openapi.json", "/nothing", "/health/", "/HEALTH", "//health", "/health%2f..")
    for answer in door.ask(*((method, path, {}) for path in paths for method in ("GET", "POST", "OPTIONS", "HEAD"))):
        assert answer.status_code == 401, answer.request.url
        assert answer.headers["www-authenticate"].startswith("Basic" if answer.request.url.path == "/" else "Bearer")
    own, openai, health = door.ask(("POST", "/generate", {}), post("wrong", "/v1/completions"), ("GET", "/health", {}))
    assert own.json()["error"]["code"] == "api_key_missing"
    assert openai.json()["error"] == {**openai.json()["error"], "type": "invalid_request_error", "code": "invalid_api_key"}
    assert health.status_code == 200


def test_the_ways_to_show_a_key(door: Door) -> None:
    """x-api-key, Bearer, and Basic's password from the page itself; an ID token of Cloud Run may stand beside x-api-key."""
    basic = "Basic " + base64.b64encode(f"anything:{KEY}".encode()).decode()
    good = (
        {"x-api-key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"Authorization": basic},
        {"Authorization": basic, "Sec-Fetch-Site": "same-origin"},
        {"Authorization": "Bearer eyJ.eyJ.SIGNATURE_REMOVED_BY_GOOGLE", "x-api-key": KEY},
    )
    bad = (
        {"x-api-key": OTHER, "Authorization": f"Bearer {KEY}"},
        {"Authorization": KEY},
        {"Authorization": basic, "Sec-Fetch-Site": "cross-site"},
        {"Authorization": "Basic !!"},
        {"x-api-key": KEY * 20},
        {"Cookie": KEY},
    )
    assert [a.status_code for a in door.ask(*(("POST", "/generate", h) for h in (*good, *bad)))] == [200] * 6 + [401] * 6
    linked = {"Authorization": basic, "Sec-Fetch-Site": "cross-site"}
    assert [a.status_code for a in door.ask(("GET", "/generate", linked))] == [200]  # as a link to the page: reading alone
    assert presented({"authorization": "Basic " + base64.b64encode(b"\xff:x").decode()}) == ""
    assert presented({"authorization": "Basic \xe9\xe9"}) == ""  # a byte beyond ASCII is no 500


def test_keys_come_and_go_without_a_new_revision(door: Door) -> None:
    """A new key works as soon as the file was not read for some seconds, a revoked one not longer than half a minute."""
    assert [a.status_code for a in door.ask(post(KEY), post(OTHER))] == [200, 401]
    door.keep(api_keys.of(OTHER))
    assert [a.status_code for a in door.ask(post(OTHER), post(KEY))] == [401, 200]  # read a moment ago
    door.clock[0] += KEYS_UNKNOWN_SECONDS
    assert [a.status_code for a in door.ask(post(KEY), post(OTHER), post(KEY))] == [200, 200, 401]
    door.keep()
    door.clock[0] += KEYS_SECONDS
    assert [a.status_code for a in door.ask(post(OTHER))] == [401]


def test_a_key_ends_at_its_time(door: Door) -> None:
    """Without anybody reading or writing the file."""
    door.keep(api_keys.of(KEY, expires="2026-06-01T00:00:00Z"))
    assert [a.status_code for a in door.ask(post(KEY))] == [200]
    door.today[0] = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    assert [a.status_code for a in door.ask(post(KEY))] == [401]


def test_a_file_that_can_not_be_read_locks_nobody_out(door: Door) -> None:
    """Before it was ever read 503 with Retry-After; later the keys stay as they were. One line tells it, one its end."""
    door.path.rename(door.path.with_suffix(".away"))
    (answer,) = door.ask(post(KEY))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "keys_unreadable")
    assert int(answer.headers["retry-after"]) >= 1
    door.path.with_suffix(".away").rename(door.path)
    door.clock[0] += KEYS_SECONDS
    door.ask(post(KEY))
    door.path.write_text("{")
    for _ in range(3):
        door.clock[0] += KEYS_SECONDS
        assert [a.status_code for a in door.ask(post(KEY))] == [200]
    told = [(severity, message) for severity, message, fields in door.lines if not fields]
    assert [severity for severity, _ in told] == ["ERROR", "INFO", "ERROR"]
    assert "nobody is let in" in told[0][1]
    assert "those that are known stay" in told[2][1]


def test_a_key_s_limit(door: Door) -> None:
    """A minute's worth at once, then evenly; reading costs nothing; other keys are not touched; 429 says when to come again."""
    door.keep(api_keys.of(KEY, per_minute=2), api_keys.of(OTHER))
    found = door.ask(post(KEY), post(KEY), post(KEY), ("GET", "/generate", {"x-api-key": KEY}), *[post(OTHER)] * 3)
    assert [a.status_code for a in found] == [200, 200, 429, 200, 200, 200, 200]
    assert (found[2].json()["error"]["code"], found[2].headers["retry-after"]) == ("rate_limit_exceeded", "30")
    door.clock[0] += 30
    (again, over) = door.ask(post(KEY), post(KEY, "/v1/completions"))
    assert (again.status_code, over.status_code) == (200, 429)
    assert over.json()["error"]["type"] == "rate_limit_error"


def test_usage_is_told_by_id_and_the_key_by_nobody(door: Door) -> None:
    """The line of a request and the metrics have the id; refusals have a line too, without what was shown."""
    door.ask(post(KEY), post(OTHER), ("POST", f"/{OTHER}", {"Authorization": f"Bearer {OTHER}", "x": OTHER}))
    requests = [fields["request"] for _, _, fields in door.lines]
    assert [(r["route"], r["status"], r.get("key"), r.get("code")) for r in requests] == [
        ("/generate", 200, api_keys.of(KEY).id, None),
        ("/generate", 401, None, "invalid_api_key"),
        ("other", 401, None, "invalid_api_key"),
    ]
    assert door.service.metrics.keys == {api_keys.of(KEY).id: 1}
    assert KEY not in str(door.lines)
    assert OTHER not in str(door.lines)


def test_metrics_do_not_grow_with_revoked_keys() -> None:
    """Beyond twice the keys that a service may have, ids are counted together."""
    metrics = Metrics()
    for number in range(KEYS_MOST + 5):
        metrics.count(Record("POST", 0.0, status=200, key=f"{number:08x}"), 0.1)
    assert len(metrics.keys) == KEYS_MOST + 1
    assert metrics.keys["other"] == 5


def test_a_service_asks_where_its_settings_name_a_file(tmp_path: Path) -> None:
    """All routes of the real app; a probe without a key learns from /health whether the model is loaded, and nothing else."""
    (tmp_path / "keys").write_bytes(api_keys.written([api_keys.of(KEY)]))
    service = Service(Settings(model="m", keys=str(tmp_path / "keys")), Timeline())
    app = create_app(service)
    paths = [route.path for route in app.routes if hasattr(route, "methods")]  # type: ignore[attr-defined]  # those that answer
    assert {"/", "/generate", "/v1/models", "/metrics", "/ready", "/openapi.json"} <= set(paths)
    for answer in asked(app, *(("GET", path, {}) for path in paths if path != "/health")):
        assert answer.status_code == 401
    alive, loaded, ready, page = asked(
        app,
        ("GET", "/health", {}),
        ("GET", "/health", {PROBE_HEADER: "ready"}),
        ("GET", "/ready", {"x-api-key": KEY}),
        ("GET", "/", {"x-api-key": KEY}),
    )
    assert (alive.status_code, loaded.status_code, loaded.json()) == (200, 503, {"status": "not ready"})
    assert (ready.status_code, page.status_code) == (503, 200)
    open_app = create_app(Service(Settings(model="m"), Timeline()))
    assert asked(open_app, ("GET", "/version", {}))[0].status_code == 200
