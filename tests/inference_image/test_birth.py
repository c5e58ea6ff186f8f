"""How a process that reads begins: a copy of a process with one thread, a new one beside other threads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference_image.chunks.arena import can_share
from inference_image.contract import Code
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket

ROOT = Path(__file__).parents[2]
DATA = bytes(range(256)) * 4000

pytestmark = pytest.mark.skipif(not can_share(), reason="no files in memory here")

BEGIN = """
import json, os, queue, signal, socket, sys, threading, time
from inference_image.chunks.birth import alone
from inference_image.chunks.crew import Pace
from inference_image.chunks.process import ProcessReaders
from inference_image.chunks.source import Done, Job
from inference_image.contract import LoadFailed
events = queue.SimpleQueue()
environ = {"STORAGE_EMULATOR_HOST": sys.argv[1]}
def begin(uri="gs://bucket/m"):
    return ProcessReaders(uri, environ, Pace(2, 2), 15, events, 1)
def pid(readers):
    return readers._children[0]._process.pid
def command(readers):
    return open(f"/proc/{pid(readers)}/cmdline").read().split(chr(0))
"""


@pytest.fixture
def address() -> Iterator[str]:
    bucket = Bucket()
    bucket.put("m/config.json", b"{}")
    bucket.put("m/model.safetensors", DATA)
    with fake_storage.running(bucket) as url:
        yield url


def said(code: str, address: str) -> Any:
    """What a process of its own, with one thread to begin with, prints as JSON."""
    command = [sys.executable, "-c", BEGIN + code, address]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_copy_reads_and_keeps_nothing_of_its_parent(address: str) -> None:
    """It is the same program and its bytes are right; neither its parent's port nor its handlers are its own."""
    found = said(
        """
signal.signal(signal.SIGTERM, lambda *_: print("the parent's"))
port = socket.create_server(("127.0.0.1", 0))
was_alone = alone()
readers = begin()
same = command(readers) == open("/proc/self/cmdline").read().split(chr(0))
objects = {one.name: one for one in readers.list()}
arena = readers.open(objects, 1 << 20)
size = objects["model.safetensors"].size
readers.add([Job(1, "model.safetensors", 0, size, 0)])
done = events.get(timeout=30)
files = [os.readlink(f"/proc/{pid(readers)}/fd/{one}") for one in os.listdir(f"/proc/{pid(readers)}/fd")]
inode = os.readlink(f"/proc/self/fd/{port.fileno()}")
os.kill(pid(readers), signal.SIGTERM)
killed = events.get(timeout=30)
status = readers._children[0]._process.wait(30)
print(json.dumps({
    "alone": was_alone, "same": same, "number": done.number,
    "right": bytes(arena.view(0, size)) == bytes(range(256)) * 4000, "port": inode in files, "status": status,
    "killed": isinstance(killed, LoadFailed),
}))
""",
        address,
    )
    assert found == {"alone": True, "same": True, "number": 1, "right": True, "port": False, "status": -15, "killed": True}


def test_beside_other_threads_a_new_process_begins(address: str) -> None:
    """A lock that another thread holds would never be free in a copy: which way was taken is in the command line."""
    found = said(
        """
copied = begin()
first = command(copied)
copied.list()
beside = begin()  # the first one's listener is a thread
second = command(beside)
listed = len(beside.list())
ended = [one.close() for one in (copied, beside)]
print(json.dumps([first == open("/proc/self/cmdline").read().split(chr(0)), second[1:3], listed, ended]))
""",
        address,
    )
    assert found == [True, ["-m", "inference_image.chunks.child"], 2, [{"processes": 1, "connections": 0}] * 2]


FAILING = """
readers = begin({uri!r})
try:
    readers.list()
    os.kill(pid(readers), signal.SIGKILL)
    failed = events.get(timeout=30)
except LoadFailed as error:
    failed = error
counts = readers.close()
print(json.dumps([failed.failure.code, failed.failure.detail, counts]))
"""


def test_a_copy_that_is_killed_is_host_memory(address: str) -> None:
    """SIGKILL from outside is the out-of-memory killer's, and two threads that wait for its end both learn of it."""
    code, detail, counts = said(FAILING.format(uri="gs://bucket/m"), address)
    assert code == Code.HOST_MEMORY
    assert "was killed" in detail
    assert counts == {"processes": 1}


def test_a_copy_that_breaks_tells_its_last_line(address: str) -> None:
    """It ends before it could answer, and never goes on with its parent's work."""
    code, detail, _ = said(FAILING.format(uri="gs:///m"), address)
    assert code == Code.CRASHED
    assert "status 1: LoadFailed" in detail
    assert "no bucket in it" in detail
