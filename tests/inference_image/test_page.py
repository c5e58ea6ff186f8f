"""The page at / in a headless Chromium: loading, an answer as it streams, stop, refusals, by keyboard alone."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from httpx import ASGITransport, AsyncClient

from inference_image.engine import Engine
from inference_image.presets import BUILT_IN, PRESETS
from inference_image.server.app import create_app
from inference_image.server.page import add_page
from inference_image.server.probes import add_probes
from inference_image.server.service import Service
from inference_image.settings import Settings
from inference_image.timeline import Loaded, Timeline
from tests.inference_image.browser import Tab, browsing
from tests.inference_image.listening import service_of, serving

MARKUP = "<img src=x onerror=\"document.title='broken'\"> & 안녕 <b>"
USAGE = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}


@dataclass
class Fake:
    """The routes that the page uses, over an engine that the test plays."""

    service: Service
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def app(self) -> FastAPI:
        app = FastAPI()
        add_probes(app, self.service)
        add_page(app)

        @app.post("/generate")
        async def generate(request: Request) -> Response:
            self.bodies.append(await request.json())
            prompt = self.bodies[-1]["prompt"]
            if "full" in prompt:
                error = {"code": "queue_full", "message": "3 requests are waiting already"}
                return JSONResponse({"error": error}, 429, {"Retry-After": "7"})
            return StreamingResponse(self._events(prompt), media_type="text/event-stream")

        return app

    async def _events(self, prompt: str) -> AsyncIterator[str]:
        try:
            yield self._event(text="first ")
            while not self.go_on.is_set():  # noqa: ASYNC110 - the test sets it from its own thread
                await asyncio.sleep(0.01)
            if "break" in prompt:
                yield self._event(error={"code": "draining", "message": "this instance stopped"})
                return
            yield self._event(text=MARKUP)
            yield self._event(text="", stop_reason="stop", usage=USAGE, model="m", type="text")
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left.set()
            raise

    @staticmethod
    def _event(**fields: Any) -> str:
        return f"data: {json.dumps(fields)}\n\n"


@pytest.fixture(scope="module")
def tab(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One browser for the tests of this file."""
    with browsing(tool("chromium"), tmp_path_factory.mktemp("chromium")) as one:
        yield one


@pytest.fixture
def fake(tab: Tab) -> Iterator[Fake]:
    """A service that is loading, and afterwards a look at what the browser complained about and whom it asked."""
    one = Fake(Service(Settings(model="mine"), Timeline()))
    listener = socket.create_server(("127.0.0.1", 0))
    one.url = "http://{}:{}/".format(*listener.getsockname())
    server = uvicorn.Server(uvicorn.Config(one.app(), log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    tab.complaints.clear()
    tab.requested.clear()
    yield one
    tab.call("Page.navigate", url="about:blank")
    server.should_exit = True
    thread.join(5)
    # A status that isn't 200 is an error to the browser's console, and those of this test are meant.
    assert [text for text in tab.complaints if not re.search(r"status of (503|429)", text)] == []
    assert {url for url in tab.requested if not url.startswith((one.url, "data:", "about:"))} == set()


def loaded(service: Service) -> None:
    """The end of a load."""
    service.timeline.note(model="mine", device="cpu", ready=2.5)
    with service.timeline.phase("read weights"):
        service.timeline.loaded(Loaded(f"{MARKUP}.safetensors", 4_000_000, "1", "0a0b0c0d", verified=True))
    service.engine = SimpleNamespace(failed=None, busy=0, presets=BUILT_IN)  # type: ignore[assignment]  # what the probes look at


def test_from_loading_to_an_answer_by_keyboard_alone(tab: Tab, fake: Fake) -> None:
    """Progress, then the record of the start; a type chosen with arrows, a prompt, an answer as it streams; markup stays text."""
    timeline = fake.service.timeline
    timeline.stage, timeline.bytes_total, timeline.bytes_done = "read weights", 8_000_000, 2_000_000
    tab.open(fake.url)
    tab.until("document.querySelector('#loaded').innerText === '2.0 MB of 8.0 MB'")
    assert tab.text("#state") == "Loading"
    assert tab.value("document.querySelector('#send').disabled")
    loaded(fake.service)
    tab.until("!document.querySelector('#start').hidden")
    tab.until("document.querySelector('#model').innerText === 'mine'")
    assert tab.text("#objects-title") == "1 of 1 objects verified by crc32c"
    assert tab.text("#chips").split() == list(PRESETS)
    asked = len(tab.requested)

    assert tab.value("document.activeElement.id") == "prompt"
    tab.press("Tab", shift=True)
    tab.press("ArrowRight")
    chosen = tab.value("new FormData(document.querySelector('#form')).get('type')")
    assert chosen != "text"
    tab.press("Tab")
    tab.write("Hello.")
    tab.press("Tab")
    tab.write("77")
    tab.press("Tab")
    tab.write("0.5")
    tab.press("Tab")
    tab.press("Tab")
    tab.press("Space")
    tab.until("document.querySelector('#answer').innerText === 'first '")
    assert tab.value("document.activeElement.id") == "stop"
    assert tab.value("document.querySelector('#answer').ariaBusy") == "true"
    fake.go_on.set()
    tab.until("document.querySelector('#ended').innerText === 'stop'")
    assert tab.value("document.querySelector('#answer').textContent") == f"first {MARKUP}"
    assert tab.text("#tokens") == "5 + 9"
    assert tab.text("#speed").endswith(" tok/s")
    assert tab.value("document.title") == "mine · gemmactl"
    assert tab.value("document.querySelectorAll('img, b:not(#trouble-title)').length") == 0
    assert tab.value("document.activeElement.id") == "send"
    assert fake.bodies == [{"type": chosen, "prompt": "Hello.", "max_tokens": 77, "temperature": 0.5, "stream": True}]
    assert tab.requested[asked:] == [f"{fake.url}generate"]  # an idle service is not asked how it is: it may scale to zero


def test_stop_ends_the_request(tab: Tab, fake: Fake) -> None:
    """Ctrl+Enter sends, Escape stops: the connection is closed, what came stays, and the next request works."""
    loaded(fake.service)
    tab.open(fake.url)
    tab.until("!document.querySelector('#send').disabled")
    tab.write("endless")
    tab.press("Enter", control=True)
    tab.until("document.querySelector('#answer').innerText === 'first '")
    tab.press("Escape")
    tab.until("document.querySelector('#ended').innerText === 'stopped'")
    assert fake.left.wait(5)
    assert tab.text("#answer") == "first "
    assert tab.text("#live") == "Stopped"
    fake.go_on.set()
    tab.press("Enter", control=True)
    tab.until("document.querySelector('#ended').innerText === 'stop'")


@pytest.mark.parametrize(
    ("prompt", "title", "text"),
    [
        ("full", "All places are taken", "3 requests are waiting already · Try again in 7 s."),
        ("break", "This instance is stopping", "this instance stopped"),
    ],
)
def test_a_refusal_is_told(tab: Tab, fake: Fake, prompt: str, title: str, text: str) -> None:
    """A full queue, or an answer that breaks off: the page says what happened. On a phone nothing is wider than the screen."""
    loaded(fake.service)
    fake.go_on.set()
    tab.call("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=True)
    tab.open(fake.url)
    tab.until("!document.querySelector('#start').hidden")
    tab.write(prompt)
    tab.press("Enter", control=True)
    tab.until("!document.querySelector('#trouble').hidden")
    assert (tab.text("#trouble-title"), tab.text("#trouble-text")) == (title, text)
    assert tab.value("document.documentElement.scrollWidth") == 360
    tab.call("Emulation.clearDeviceMetricsOverride")


def test_it_speaks_the_servers_own_language(tab: Tab, engine: Engine) -> None:
    """Over the real routes and the sample model: its types, its answer as events, its counts."""
    with serving(service_of(engine)) as port:
        tab.open(f"http://127.0.0.1:{port}/")
        tab.until("!document.querySelector('#send').disabled && !document.querySelector('#types').hidden")
        tab.write("Count to five.")
        tab.press("Enter", control=True)
        tab.until("document.querySelector('#ended').innerText === 'stop'")
        assert tab.text("#answer") == "1, 2, 3, 4, 5"
        assert tab.text("#tokens") != ""
        tab.call("Page.navigate", url="about:blank")


def test_the_page_may_do_nothing_else_and_can_be_left_out() -> None:
    """Its policy allows its own script, style and origin; with GEMMACTL_PAGE=0 there is none, and HEAD works as GET does."""

    async def ask(method: str, page: bool) -> tuple[int, dict[str, str], str]:
        app = create_app(Service(Settings(model="m", page=page), Timeline()))
        async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as client:
            answer = await client.request(method, "/")
            return answer.status_code, dict(answer.headers), answer.text

    status, headers, html = asyncio.run(ask("GET", page=True))
    assert (status, asyncio.run(ask("HEAD", page=True))[0], asyncio.run(ask("GET", page=False))[0]) == (200, 200, 404)
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for directive in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy[directive])
    assert not re.search(r"\s(?:style|on[a-z]+)=|innerHTML|https?://(?!www\.w3\.org/2000/svg)", html)
