"""The recorder itself: it must really speak TLS for a real host name, or the wire tests prove nothing."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests.fakes.recorder import Recorder


@pytest.fixture
def upstream():
    """A plain server that answers with what it was asked."""

    class Echo(BaseHTTPRequestHandler):
        def log_message(self, *_args): ...

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.end_headers()
            self.wfile.write(self.path.encode() + b" " + body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_request_to_a_real_host_name_is_recorded_and_answered(tmp_path, upstream):
    """With the proxy and the authority given, https://run.googleapis.com reaches the upstream and is written down."""
    recorder = Recorder(tmp_path, upstream, lambda: "t")
    env = recorder.environment()
    proxies = {"https": env["HTTPS_PROXY"]}
    with requests.Session() as session:
        session.trust_env = False
        for n in range(2):
            answer = session.post(
                f"https://run.googleapis.com/v2/x{n}", data=b"body", proxies=proxies, verify=env["REQUESTS_CA_BUNDLE"], timeout=10
            )
            assert (answer.status_code, answer.text) == (201, f"/v2/x{n} body")
        token = session.post(
            "https://oauth2.googleapis.com/token", data={}, proxies=proxies, verify=env["REQUESTS_CA_BUNDLE"], timeout=10
        ).json()
    assert token["access_token"] == "t"
    assert [(e.host, e.path) for e in recorder.exchanges][:2] == [
        ("run.googleapis.com", "/v2/x0"),
        ("run.googleapis.com", "/v2/x1"),
    ]
    recorder.close()


def test_without_the_authority_the_connection_is_refused(tmp_path, upstream):
    """The test's authority is trusted by nobody who wasn't told: TLS is really checked."""
    recorder = Recorder(tmp_path, upstream, lambda: "t")
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.exceptions.SSLError):
            session.post("https://run.googleapis.com/", proxies={"https": recorder.url}, timeout=10)
    recorder.close()


def test_a_request_whose_client_has_gone_is_waited_for(tmp_path, upstream):
    """A client that leaves before the answer: once the recorder is closed to it, its request has been carried out."""
    recorder = Recorder(tmp_path, upstream, lambda: "t")
    came, go_on = threading.Event(), threading.Event()
    recorder.answered = lambda _method, _path: (came.set(), go_on.wait(10))
    env = recorder.environment()
    ways = {"proxies": {"https": env["HTTPS_PROXY"]}, "verify": env["REQUESTS_CA_BUNDLE"]}
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.post("https://run.googleapis.com/v2/x", b"body", timeout=1, **ways)
    assert came.is_set()
    assert not recorder.wait_until_closed(timeout=0.1)
    go_on.set()
    assert recorder.wait_until_closed(timeout=10)
    assert [e.path for e in recorder.exchanges] == ["/v2/x"]
    recorder.close()
