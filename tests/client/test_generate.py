"""A client of a service that may be asleep, private, broken, or somebody else's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from gemmactl.client.generate import Patience, Service, generate
from gemmactl.client.wire import Https, Reply
from gemmactl.errors import Exit, Trouble
from inference_image.contract import EXCHANGES, matches

ANSWER = {"text": "안녕하세요.", "stop_reason": "stop", "usage": {"completion_tokens": 4}, "model": "m", "type": "text"}


@dataclass
class Script:
    """A wire that answers from a list; the last answer stays."""

    replies: list[Reply]
    sent: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        self.sent.append((f"{method} {url}", headers, json.loads(body or b"null")))
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@dataclass
class Time:
    """A clock that only moves when somebody sleeps."""

    at: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def reply(status: int, content: Any, **headers: str) -> Reply:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def service(*replies: Reply, time: Time | None = None, **more: Any) -> tuple[Service, Script]:
    script, clock = Script(list(replies)), time or Time()
    patience = Patience(budget=60, now=clock.now, sleep=clock.sleep)
    return Service("gemma", "https://gemma.example", script, caller="user:a@example.com", patience=patience, **more), script


def test_one_answer() -> None:
    """POST /generate in full form, with the ID token; the answer is the text alone."""
    made, script = service(reply(200, ANSWER), token=lambda: "id-token")
    found = generate(made, "Hello.", "translation", 7)
    assert found.text == "안녕하세요."
    line, headers, body = script.sent[0]
    assert line == "POST https://gemma.example/generate"
    assert headers["Authorization"] == "Bearer id-token"
    assert body == {"prompt": "Hello.", "format": "full", "type": "translation", "max_tokens": 7}


def test_the_request_is_one_that_the_contract_knows() -> None:
    """The full form is an exchange of contract.py, so client and server can't drift apart."""
    full = next(e for e in EXCHANGES if e.request.get("format") == "full" and e.status == 200)
    made, script = service(reply(200, ANSWER))
    generate(made, full.request["prompt"], full.request["type"])
    assert script.sent[0][2] == full.request
    assert set(full.response) == set(ANSWER)
    assert matches(full.response["usage"], {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})


def test_an_adapter_is_asked_for_by_name() -> None:
    """One field more; a service that has none of that name says which it has, and that is the remedy."""
    error = {"error": {"code": "unknown_adapter", "message": "no adapter of that name", "adapters": ["korean", "sql"]}}
    made, script = service(reply(400, error))
    with pytest.raises(Trouble) as caught:
        generate(made, "Hello.", adapter="corean")
    assert script.sent[0][2] == {"prompt": "Hello.", "format": "full", "adapter": "corean"}
    assert caught.value.remedy == "choose --adapter korean, sql"


def test_no_token_for_a_public_service() -> None:
    """An empty token sends no header."""
    made, script = service(reply(200, ANSWER))
    generate(made, "Hello.")
    assert "Authorization" not in script.sent[0][1]


def test_a_waking_service_is_waited_for_and_told() -> None:
    """503 with a stage and 429 are waited out, Retry-After is kept, and the wait is told."""
    clock, told = Time(), []
    loading = reply(503, {"stage": "read weights", "bytes_done": 10**9, "bytes_total": 4 * 10**9})
    made, script = service(
        loading, reply(429, b"Rate exceeded.", retry_after="9"), reply(200, ANSWER), time=clock, tell=told.append
    )
    assert generate(made, "x").text
    assert len(script.sent) == 3
    assert told == ["the service wakes up: read weights (1000 of 4000 MB)", "all places are taken; waiting for one"]
    assert clock.slept[1] == 9


def test_patience_has_an_end() -> None:
    """After the budget the last word is told, with doctor as the way on."""
    made, script = service(reply(503, {"stage": "read weights"}))
    with pytest.raises(Trouble) as caught:
        generate(made, "x")
    assert caught.value.code == "service-not-ready"
    assert "read weights" in caught.value.why
    assert len(script.sent) < 40


def test_a_dead_container_ends_the_wait() -> None:
    """When the log says why it died, that is told at once."""
    died = Trouble("gemma can't load its model", why="access_denied", remedy="doctor")
    made, script = service(reply(503, b"Service Unavailable"), death=lambda: died)
    with pytest.raises(Trouble) as caught:
        generate(made, "x")
    assert caught.value is died
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    ("status", "content", "code", "words"),
    [
        (403, b"<html>Forbidden</html>", "not-invoker", "roles/run.invoker"),
        (401, b"<html>Unauthorized</html>", "not-invoker", "ID token"),
        (404, b"<html>Not Found</html>", "service-not-ours", "image"),
        (500, {"error": {"code": "engine_failed", "message": "nan"}}, "service-failed", "nan"),
        (200, b"[1, 2]", "service-failed", "[1, 2]"),
    ],
)
def test_refusals_name_who_must_do_what(status: int, content: Any, code: str, words: str) -> None:
    """Each status has its own Trouble; 403 names the member that lacks the role."""
    made, _ = service(reply(status, content))
    with pytest.raises(Trouble) as caught:
        generate(made, "secret prompt")
    trouble = caught.value
    assert trouble.code == code
    assert words in f"{trouble.why} {trouble.remedy}"
    assert "secret prompt" not in str(vars(trouble))
    if status == 403:
        assert "user:a@example.com" in trouble.what
        assert trouble.facts["permission"] == "run.routes.invoke"


def test_an_unknown_type_lists_the_types() -> None:
    """The server's list is the remedy; exit 2."""
    made, _ = service(
        reply(400, {"error": {"code": "unknown_type", "message": "unknown type", "types": ["translation", "text"]}})
    )
    with pytest.raises(Trouble) as caught:
        generate(made, "x", "poem")
    assert caught.value.exit is Exit.USAGE
    assert "translation, text" in caught.value.remedy


def test_the_real_wire_against_a_real_socket() -> None:
    """Statuses come back as replies, redirects among them: nobody else gets the token. A cut or closed line is a Trouble."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(302 if self.path == "/moved" else 418)
            self.send_header("Location", "/elsewhere")  # GET there would be answered 501
            self.send_header("Content-Length", str(len(body) + (self.path == "/cut")))
            self.send_header("X-Seen", self.headers["Authorization"])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of http.server
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/x"
    found = Https({}).send("POST", url, {"Authorization": "Bearer t"}, "안녕".encode(), 5)
    assert (found.status, found.text(), found.headers["x-seen"]) == (418, "안녕", "Bearer t")
    moved = Https({}).send("POST", url.replace("/x", "/moved"), {"Authorization": "Bearer t"}, b"", 5)
    assert (moved.status, moved.headers["location"]) == (302, "/elsewhere")
    with pytest.raises(Trouble) as cut:
        Https({}).send("POST", url.replace("/x", "/cut"), {"Authorization": "Bearer t"}, b"1", 5)
    server.shutdown()
    server.server_close()
    with pytest.raises(Trouble) as caught:
        Https({}).send("POST", url, {}, b"", 5)
    assert caught.value.code == cut.value.code == "service-unreachable"


def refused_with(status: int, code: str) -> Reply:
    return reply(status, {"error": {"code": code, "message": "said by the container"}})


def test_a_key_and_a_token_go_in_headers_of_their_own() -> None:
    """While Cloud Run asks for an ID token too, Authorization stays free: the container may read it."""
    made, script = service(reply(200, ANSWER), key=lambda: "gmk_k", token=lambda: "id-token")
    generate(made, "Hello.")
    headers = script.sent[0][1]
    assert (headers["x-api-key"], headers["X-Serverless-Authorization"]) == ("gmk_k", "Bearer id-token")
    assert "Authorization" not in headers


@pytest.mark.parametrize("key", ["gmk_one\ngmk_two", "gmk_\u20ac"])
def test_a_key_that_no_header_can_hold_is_refused_unsaid(key: str) -> None:
    """http.client would name it in its own error."""
    made, script = service(reply(200, ANSWER), key=lambda: key)
    with pytest.raises(Trouble) as caught:
        generate(made, "Hello.")
    assert (caught.value.code, caught.value.exit, script.sent) == ("api-key-illegal", Exit.USAGE, [])
    assert "gmk_" not in str(vars(caught.value))


@pytest.mark.parametrize("code", ["api_key_missing", "invalid_api_key"])
def test_a_refused_key_names_who_makes_one(code: str) -> None:
    """It is no matter of logging in again, and the key is not repeated."""
    made, _ = service(refused_with(401, code), key=lambda: "gmk_secretsecret")
    with pytest.raises(Trouble) as caught:
        generate(made, "Hello.")
    assert caught.value.code == "api-key-refused"
    assert "GEMMACTL_API_KEY" in caught.value.remedy
    assert "gmk_secret" not in str(vars(caught.value))


def test_a_key_over_its_limit_is_not_waited_for() -> None:
    """Unlike a full queue."""
    clock = Time()
    made, script = service(refused_with(429, "rate_limit_exceeded"), time=clock, key=lambda: "gmk_k")
    with pytest.raises(Trouble) as caught:
        generate(made, "Hello.")
    assert (caught.value.code, clock.slept, len(script.sent)) == ("key-limit", [], 1)


def test_a_service_that_is_closed_to_the_outside_says_so() -> None:
    """Cloud Run's 404 says nothing of it."""
    made, _ = service(reply(404, b"<html>Not found</html>"), inside=True)
    with pytest.raises(Trouble) as caught:
        generate(made, "Hello.")
    assert (caught.value.code, "--ingress all" in caught.value.remedy) == ("service-inside", True)
