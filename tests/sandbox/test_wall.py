"""The token wall and the HTTP server itself."""

from __future__ import annotations

import http.client
import socket

import pytest
import requests
from conftest import PROJECT, Cloud

from gemmactl.sandbox.endpoint import ADMIN
from gemmactl.sandbox.faults import Fault
from gemmactl.sandbox.wire import CutConnection, Request, Response

PATHS = ["/v1/projects/gemmactl-sandbox/secrets", "/storage/v1/b", "/v2/entries:list", "/", "/-/status", "/v1/operations/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer you@sandbox.invalid|00", "Bearer x", "Basic eDp5"])
def test_no_route_answers_without_a_good_token(cloud: Cloud, path: str, token: str) -> None:
    """Whoever reaches the port but has no token gets 401, whatever he asks for."""
    answer = requests.get(cloud.world.base_url + path, headers={"authorization": token} if token else {}, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


def test_a_token_of_another_home_is_refused(cloud: Cloud, tmp_path) -> None:
    """Tokens are worth nothing where another secret rules."""
    from gemmactl.sandbox.world import World

    other = World(tmp_path / "other").tokens.access("you@sandbox.invalid")
    answer = requests.get(cloud.world.base_url + PATHS[0], headers={"authorization": f"Bearer {other}"}, timeout=10)
    assert answer.status_code == 401


def test_a_body_that_nobody_wants_does_not_hide_the_401(cloud: Cloud) -> None:
    """A client that sends a body without a token reads the refusal, not a reset."""
    answer = requests.post(cloud.world.base_url + PATHS[0], data=b"x" * 500_000, timeout=10)
    assert answer.status_code == 401


def test_the_server_listens_on_loopback_only(cloud: Cloud) -> None:
    """No other interface answers."""
    assert cloud.world.base_url.startswith("http://127.0.0.1:")


def test_a_connection_is_kept_alive(cloud: Cloud) -> None:
    """Two requests go over one connection."""
    host = cloud.world.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    head = {"authorization": f"Bearer {cloud.world.tokens.access('you@sandbox.invalid')}"}
    ports = []
    for _ in range(2):
        connection.request("GET", "/v3/projects/gemmactl-sandbox", headers=head)
        assert connection.getresponse().read()
        ports.append(connection.sock.getsockname() if connection.sock else None)
    assert ports[0] == ports[1] is not None


def test_a_chunked_body_and_a_fixed_one_arrive_alike(cloud: Cloud) -> None:
    """Both ways of sending a body give the handler the same bytes; an iterator answers chunked."""
    import re

    seen = []

    def echo(world, request: Request) -> Response:
        seen.append(request.body)
        return Response(200, {}, iter([b"one ", b"", b"two"]))

    cloud.world.raw.append((re.compile("/echo"), echo))
    session = cloud.session()
    url = cloud.world.base_url + "/echo"
    assert session.post(url, data=b"abc" * 1000).text == "one two"
    answer = session.post(url, data=iter([b"abc" * 500, b"abc" * 500]))
    assert answer.headers["transfer-encoding"] == "chunked"
    assert seen == [b"abc" * 1000] * 2


def test_a_large_upload_is_spooled_and_the_spool_is_deleted(cloud: Cloud) -> None:
    """Uploads above 8 MiB reach the handler as a file, which is gone afterwards."""
    import re

    sizes = []

    def take(world, request: Request) -> Response:
        with request.open() as body:
            sizes.append((request.size, request.body, body.read(3)))
        return Response(200)

    cloud.world.raw.append((re.compile("/upload/"), take))
    session = cloud.session()
    assert session.post(cloud.world.base_url + "/upload/x", data=b"abc" * (4 << 20)).status_code == 200
    assert sizes == [(12 << 20, b"", b"abc")]
    assert list((cloud.world.home / "spool").iterdir()) == []


def test_a_body_that_no_api_takes_is_refused_unread(cloud: Cloud) -> None:
    """Only uploads may be larger than 64 MiB: the daemon keeps other bodies in memory."""
    connection = http.client.HTTPConnection(cloud.world.base_url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v2/entries:list")
    connection.putheader("authorization", f"Bearer {cloud.world.tokens.access('you@sandbox.invalid')}")
    connection.putheader("content-length", str(65 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_a_broken_stream_ends_in_a_reset(cloud: Cloud) -> None:
    """A body that breaks off is an error for the client, never a short success."""
    import re

    def broken(world, request: Request) -> Response:
        def body():
            yield b"x" * 10
            raise CutConnection

        return Response(200, {"content-length": "20"}, body())

    cloud.world.raw.append((re.compile("/broken"), broken))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        cloud.session().get(cloud.world.base_url + "/broken")


def test_a_crash_in_a_behaviour_is_a_500_without_its_text(cloud: Cloud) -> None:
    """What a bug says stays in the daemon's log."""
    import re

    def crash(world, request: Request) -> Response:
        raise RuntimeError("the innards")

    cloud.world.raw.append((re.compile("/crash"), crash))
    answer = cloud.session().get(cloud.world.base_url + "/crash")
    assert (answer.status_code, "innards" in answer.text) == (500, False)


def test_an_unknown_route_is_a_404_that_says_so(cloud: Cloud) -> None:
    """A path that no client uses is not silently accepted."""
    answer = cloud.session().get(cloud.world.base_url + "/v9/nothing")
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_a_known_method_without_behaviour_is_unimplemented(cloud: Cloud) -> None:
    """What the sandbox doesn't have is a 501 with the method's name."""
    cloud.enable("artifactregistry")
    answer = cloud.session().get(f"{cloud.world.base_url}/v1/{PROJECT}/locations/us-central1/repositories/r/npmPackages")
    assert answer.status_code == 501
    assert "artifactregistry_v1.ArtifactRegistry.ListNpmPackages" in answer.text


def test_faults_hit_the_requests_they_were_ordered_for(cloud: Cloud) -> None:
    """The second matching request fails; the first, the third and all others pass."""
    cloud.world.faults.add(Fault("GET /v3/", after=1))
    url = f"{cloud.world.base_url}/v3/{PROJECT}"
    session = cloud.session()
    assert [session.get(url).status_code for _ in range(3)] == [200, 503, 200]


def test_a_fault_after_the_work_loses_the_answer_only(cloud: Cloud) -> None:
    """`when="after"`: the change was made, though the client saw an error."""
    cloud.enable("iam")
    cloud.world.faults.add(Fault("POST .*serviceAccounts", when="after"))
    answer = cloud.session().post(f"{cloud.world.base_url}/v1/{PROJECT}/serviceAccounts", json={"accountId": "gemma-runtime"})
    assert answer.status_code == 503
    assert cloud.world.account("gemma-runtime@gemmactl-sandbox.iam.gserviceaccount.com")


def test_a_reset_fault_cuts_the_connection(cloud: Cloud) -> None:
    """`reset` gives the client a connection error."""
    cloud.world.faults.add(Fault("GET /v3/", status="reset"))
    with pytest.raises(requests.ConnectionError):
        cloud.session().get(f"{cloud.world.base_url}/v3/{PROJECT}")


def test_half_a_request_does_not_stop_the_others(cloud: Cloud) -> None:
    """A client that hangs in the middle of its body keeps only its own thread."""
    host, _, port = cloud.world.base_url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as hung:
        token = cloud.world.tokens.access("you@sandbox.invalid")
        head = f"host: x\r\nauthorization: Bearer {token}\r\ncontent-length: 99"
        hung.sendall(f"POST /v2/entries:list HTTP/1.1\r\n{head}\r\n\r\n{{".encode())
        assert cloud.session().get(f"{cloud.world.base_url}/v3/{PROJECT}").status_code == 200


def test_the_admins_email_is_not_a_member_anybody_has(cloud: Cloud) -> None:
    """The admin's token opens the sandbox's own routes, not the project."""
    answer = cloud.session(ADMIN).get(f"{cloud.world.base_url}/v3/{PROJECT}")
    assert answer.status_code == 403
