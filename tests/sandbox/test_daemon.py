"""The daemon's life, with real processes: start, find, stop, kill, races, a taken port, other code, reset."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.sandbox import daemon
from gemmactl.sandbox.endpoint import Endpoint

ROOT = Path(daemon.__file__).parents[2]
ENSURE = """
import sys
from pathlib import Path
from gemmactl.sandbox import daemon
print(daemon.ensure(Path(sys.argv[1])).base_url)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "home"
    yield place
    daemon.stop(place)


def policy_of(endpoint: Endpoint) -> dict:
    """One ordinary request as the caller."""
    import requests

    answer = requests.post(
        f"{endpoint.base_url}/v3/projects/{endpoint.project}:getIamPolicy",
        headers={"authorization": f"Bearer {endpoint.token()}"},
        timeout=10,
    )
    assert answer.status_code == 200
    return answer.json()


def test_ensure_starts_once_and_finds_again(home: Path) -> None:
    """The second ensure finds the first one's daemon; orders and tokens work; stop ends it, and its state stays."""
    assert daemon.status(home) is None
    first = daemon.ensure(home)
    assert daemon.ensure(home) == first
    assert (first.project, first.number, first.caller) == ("gemmactl-sandbox", "100000000001", "you@sandbox.invalid")
    first.grant("user:dev@sandbox.invalid", "roles/viewer", "projects/gemmactl-sandbox")
    before = policy_of(first)
    assert {"role": "roles/viewer", "members": ["user:dev@sandbox.invalid"]} in before["bindings"]
    assert (daemon.status(home) or {})["build"] == daemon.build()
    assert daemon.stop(home)
    assert not daemon.stop(home)
    assert daemon.status(home) is None
    again = daemon.ensure(home)
    assert again.base_url == first.base_url
    assert policy_of(again) == before
    again.revoke("user:dev@sandbox.invalid", "roles/viewer", "projects/gemmactl-sandbox")
    assert "roles/viewer" not in json.dumps(policy_of(again))


def test_two_that_start_at_once_get_one_daemon(home: Path) -> None:
    """Processes that all find nothing agree on one daemon."""
    argv = [sys.executable, "-P", "-c", ENSURE, str(home)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert len(said) == 1
    assert said.pop().strip() == daemon.ensure(home).base_url


def test_a_second_daemon_refuses_the_same_home(home: Path) -> None:
    """Started by hand beside a running one, it says so and ends with 3."""
    daemon.ensure(home)
    second = subprocess.run(
        [sys.executable, "-m", "gemmactl.sandbox", "--home", str(home)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (second.returncode, "already runs" in second.stderr) == (3, True)


def test_a_killed_daemon_is_replaced(home: Path) -> None:
    """After SIGKILL a stale announcement remains; the next command starts anew with the old state."""
    first = daemon.ensure(home)
    first.grant("user:dev@sandbox.invalid", "roles/viewer", "projects/gemmactl-sandbox")
    os.kill((daemon.status(home) or {})["pid"], signal.SIGKILL)
    again = daemon.ensure(home)
    assert "user:dev@sandbox.invalid" in json.dumps(policy_of(again))


def test_a_fault_can_kill_the_daemon_in_the_middle(home: Path) -> None:
    """The crash point: the request that was told to, dies with the daemon, and nothing half-made remains."""
    endpoint = daemon.ensure(home)
    endpoint.fault("getIamPolicy", status="exit")
    with pytest.raises(Exception, match=r"onnection"):
        policy_of(endpoint)
    assert policy_of(daemon.ensure(home))["bindings"]


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(home: Path) -> None:
    """An announcement with the pid and the port of a stranger deceives nobody, and he is shown no token."""
    daemon.ensure(home)
    daemon.stop(home)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stolen = {"pid": os.getpid(), "base_url": f"http://127.0.0.1:{stranger.getsockname()[1]}", "build": daemon.build()}
        (home / "daemon.json").write_text(json.dumps(stolen))
        heard: list[bytes] = []
        threading.Thread(target=_say_hello, args=(stranger, heard), daemon=True).start()
        endpoint = daemon.ensure(home)
        assert endpoint.base_url != stolen["base_url"]
        assert policy_of(endpoint)["bindings"]
        assert heard == []


def _say_hello(stranger: socket.socket, heard: list[bytes]) -> None:
    """Answers every connection with something that is not the sandbox."""
    while True:
        try:
            connection, _ = stranger.accept()
        except OSError:
            return
        with connection:
            heard.append(connection.recv(65536))
            connection.sendall(b"220 hello\r\n")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"base_url": "http://127.0.0.1:1"}', '{"base_url": "http://elsewhere:80"}', '{"base_url": 5}']
)
def test_an_unreadable_announcement_is_ignored(home: Path, text: str) -> None:
    """Whatever stands in daemon.json, there is no daemon."""
    home.mkdir()
    (home / "secret").write_text("s")
    (home / "daemon.json").write_text(text)
    assert daemon.status(home) is None
    assert not daemon.stop(home)


def test_a_hung_daemon_is_replaced(home: Path) -> None:
    """One that holds the lock but is not to be found is ended when a command needs the sandbox."""
    daemon.ensure(home)
    pid = (daemon.status(home) or {})["pid"]
    (home / "daemon.json").write_text("{")
    assert policy_of(daemon.ensure(home))["bindings"]
    assert (daemon.status(home) or {})["pid"] != pid


def test_a_daemon_of_other_code_is_replaced(home: Path, tmp_path: Path) -> None:
    """A daemon that was started from another version ends when this one is needed."""
    import shutil

    other = tmp_path / "other"
    shutil.copytree(ROOT / "gemmactl", other / "gemmactl")
    with (other / "gemmactl" / "sandbox" / "codes.py").open("a") as changed:
        changed.write("\n")
    environment = {**os.environ, "PYTHONPATH": str(other)}
    subprocess.run([sys.executable, "-P", "-c", ENSURE, str(home)], env=environment, check=True, timeout=60)
    old = daemon.status(home) or {}
    assert old["build"] != daemon.build()
    daemon.ensure(home)
    new = daemon.status(home) or {}
    assert (new["build"], new["pid"] != old["pid"]) == (daemon.build(), True)


def test_a_daemon_that_nobody_uses_ends(home: Path) -> None:
    """After the idle time it stops by itself; asking for its status does not keep it alive."""
    endpoint = daemon.ensure(home)
    endpoint.settings(daemon_idle=0.0)
    end = time.monotonic() + 20
    while daemon.status(home) and time.monotonic() < end:
        time.sleep(0.1)
    assert daemon.status(home) is None


def test_a_start_that_fails_tells_the_end_of_the_log(home: Path) -> None:
    """Broken state is a Trouble with the cause, not a wait; reset helps."""
    daemon.ensure(home)
    daemon.stop(home)
    (home / "state" / "apis" / "run.googleapis.com.json").write_text("{")
    with pytest.raises(Trouble) as caught:
        daemon.ensure(home)
    assert caught.value.code == "sandbox-start"
    assert "JSONDecodeError" in caught.value.why
    daemon.reset(home)
    assert policy_of(daemon.ensure(home))["bindings"]


def test_reset_forgets_everything_but_only_in_a_sandboxs_folder(home: Path, tmp_path: Path) -> None:
    """State and secret are gone; a folder that is no sandbox's is left as it is."""
    first = daemon.ensure(home)
    first.grant("user:dev@sandbox.invalid", "roles/viewer", "projects/gemmactl-sandbox")
    daemon.reset(home)
    assert daemon.status(home) is None
    again = daemon.ensure(home)
    assert again.secret != first.secret
    assert "dev@sandbox.invalid" not in json.dumps(policy_of(again))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    with pytest.raises(Trouble, match="is not deleted"):
        daemon.reset(mine)
    with pytest.raises(Trouble, match="is not used for the sandbox"):
        daemon.ensure(mine)
    assert (mine / "letter").read_text() == "dear"
    daemon.reset(tmp_path / "nothing")


def test_a_home_that_can_not_be_a_folder_is_told_as_such(tmp_path: Path) -> None:
    """A file in the way, or below a file: the variable to set is named, and the file stays as it is."""
    letter = tmp_path / "letter"
    letter.write_text("dear")
    for home in (letter, letter / "below", Path("/proc/nope")):
        with pytest.raises(Trouble, match="is not used for the sandbox") as caught:
            daemon.ensure(home)
        assert "GEMMACTL_SANDBOX_HOME" in caught.value.remedy
    assert letter.read_text() == "dear"


def test_orders_need_the_admins_token(home: Path) -> None:
    """The caller of commands, and so whatever runs inside the sandbox, can't order faults or grants."""
    import requests

    endpoint = daemon.ensure(home)
    head = {"authorization": f"Bearer {endpoint.token()}"}
    for path in ("/-/faults", "/-/iam", "/-/settings", "/-/stop"):
        answer = requests.post(endpoint.base_url + path, json={}, headers=head, timeout=10)
        assert answer.status_code == 403
    with pytest.raises(Trouble, match="refused an order"):
        endpoint.settings(no_such_setting=1)
    with pytest.raises(Trouble, match="refused an order"):
        endpoint.fault("x", no_such_field=1)


def test_importing_the_daemons_side_of_a_command_imports_no_google_client() -> None:
    """`status` must not cost half a second."""
    heavy = "[m for m in sys.modules if m.startswith(('google', 'requests'))]"
    code = f"import sys; from gemmactl.sandbox import daemon; print({heavy})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
