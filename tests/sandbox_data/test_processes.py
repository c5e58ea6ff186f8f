"""No process outlives the sandbox: not a stop, not a SIGKILL, not a container that resists."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gemmactl.sandbox.container_logs import parsed
from gemmactl.sandbox.instances import NothingToStart
from gemmactl.sandbox.probes import span

from .conftest import until
from .one_instance import start
from .test_services import alive

DAEMON = """
import sys, time
from pathlib import Path
from tests.sandbox_data.one_instance import start
instance = start(Path(sys.argv[1]), sys.argv[2], [])
print(instance.pid, flush=True)
time.sleep(60)
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
resist = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", resist])
open(os.environ["PIDS"], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""
QUICK = """
import os, time
open(os.environ["PIDS"], "w").write(str(os.getpid()))
print("plain line", flush=True)
time.sleep(60)
"""


def pids(folder: Path) -> list[int]:
    text = until(lambda: (folder / "pids").exists() and (folder / "pids").read_text())
    return [int(p) for p in text.split()]


def test_stop_ends_the_container_its_folder_and_its_log(tmp_path: Path):
    """SIGTERM ends a usual program at once; its lines are in the log, its folder is gone."""
    lines: list[tuple[str, object, str]] = []
    instance = start(tmp_path, QUICK, lines)
    (pid,) = pids(tmp_path)
    until(lambda: lines)
    instance.stop()
    assert not alive(pid)
    assert lines == [("stdout", "plain line", "DEFAULT")]
    assert list((tmp_path / "instances").iterdir()) == []
    assert instance.exit_code == 128 + signal.SIGTERM


def test_a_container_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path):
    """After the grace time SIGKILL reaches the whole process group."""
    instance = start(tmp_path, STUBBORN, [], grace=0.3)
    both = pids(tmp_path)
    instance.stop()
    until(lambda: not any(alive(p) for p in both))
    assert instance.exit_code == 128 + signal.SIGKILL


def test_nothing_survives_a_daemon_that_is_killed(tmp_path: Path):
    """SIGKILL to the process that started it: the warden sees its pipe close and ends the container."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path), QUICK], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert daemon.stdout
    warden = int(daemon.stdout.readline())
    (pid,) = pids(tmp_path)
    assert alive(pid)
    daemon.kill()
    daemon.wait()
    until(lambda: not alive(pid) and not alive(warden))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_even_the_warden_may_be_killed(tmp_path: Path):
    """SIGKILL to the warden takes the container with it."""
    instance = start(tmp_path, QUICK, [])
    (pid,) = pids(tmp_path)
    os.kill(instance.pid, signal.SIGKILL)
    assert instance.exited.wait(10)
    until(lambda: not alive(pid))


def test_a_program_that_is_not_there_says_so(tmp_path: Path):
    """Exit 127 and a line that names it; an image without a program is refused before."""
    lines: list[tuple[str, object, str]] = []
    instance = start(tmp_path, "", lines, entrypoint=["no-such-program"])
    assert instance.exited.wait(10)
    assert instance.exit_code == 127
    assert "failed to load no-such-program" in str(lines[0][1])
    with pytest.raises(NothingToStart):
        start(tmp_path, "", [], entrypoint=[])


def test_the_environment_maps_the_images_paths(tmp_path: Path):
    """PYTHONPATH of the image is inside its run folder, argv's absolute paths too; PORT is a free one."""
    program = "import json, os, sys\ne = os.environ\n"
    program += 'print(json.dumps({"path": e["PYTHONPATH"].split(":"), "argv": sys.argv, "port": e["PORT"]}))'
    lines: list[tuple[str, object, str]] = []
    instance = start(tmp_path, program, lines)
    assert instance.exited.wait(10)
    (payload,) = [p for _, p, _ in lines if isinstance(p, dict)]
    root = str(tmp_path / "instances" / instance.id / "root")
    assert [p.removeprefix(root) for p in payload["path"][1:]] == ["/app", "/app/lib", "/elsewhere"]
    assert payload["argv"] == [f"{root}/app/main.py"]
    assert int(payload["port"]) == instance.port
    assert instance.exit_code == 0


def test_no_thread_of_an_ended_instance_stays(tmp_path: Path):
    """Its metadata server and its readers end with it."""
    before = threading.active_count()
    instance = start(tmp_path, "", [])
    assert instance.exited.wait(10)
    until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("plain", ("plain", "DEFAULT")),
        ('{"severity": "error", "a": 1}', ({"a": 1}, "ERROR")),
        ('{"severity": "LOUD"}', ({}, "DEFAULT")),
        ('{"broken', ('{"broken', "DEFAULT")),
        ("[1]", ("[1]", "DEFAULT")),
    ],
)
def test_a_line_becomes_text_or_json(line, entry):
    """Only a JSON object is a JSON payload; its severity moves to the entry."""
    assert parsed(line) == entry


def test_times_are_written_as_cloud_run_does():
    """Source: the seed's and the corpus' sentences."""
    assert [span(s) for s in (0, 5, 60, 240, 90, 1440)] == ["0s", "5s", "1m", "4m", "1m30s", "24m"]
