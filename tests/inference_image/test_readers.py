"""The process that reads: it is started, does what threads do, ends with whoever started it, and is told apart when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import crc32c
import pytest

from inference_image.chunks import open_source
from inference_image.chunks.arena import can_share
from inference_image.chunks.crew import Pace
from inference_image.chunks.process import ProcessReaders
from inference_image.chunks.readers import Events, Readers, ThreadReaders
from inference_image.chunks.source import NOWHERE, Done, Job
from inference_image.contract import Code, LoadFailed
from inference_image.engine import begin
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket, cut, status

ROOT = Path(__file__).parents[2]
DATA = bytes(range(256)) * 8000

pytestmark = pytest.mark.skipif(not can_share(), reason="no files in memory here")


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.put("m/config.json", b"{}")
    made.put("m/model.safetensors", DATA)
    return made


@pytest.fixture
def address(bucket: Bucket) -> Iterator[str]:
    with fake_storage.running(bucket) as url:
        yield url


@pytest.fixture(params=["threads", "process", "processes"])
def readers(request: pytest.FixtureRequest, address: str) -> Iterator[tuple[Readers, Events]]:
    """The contract of Readers, held to each of its kinds."""
    events: Events = SimpleQueue()
    environ = {"STORAGE_EMULATOR_HOST": address}
    made: Readers
    if request.param == "threads":
        made = ThreadReaders(open_source("gs://bucket/m", environ), Pace(4, 4), events)
    else:
        count = 1 if request.param == "process" else 3
        made = ProcessReaders("gs://bucket/m", environ, Pace(4, 4), 15, events, count)
    yield made, events
    made.close()


def test_jobs_end_in_memory_with_their_sums(readers: tuple[Readers, Events], bucket: Bucket) -> None:
    """List, open, add: each job is done once, its bytes are in place, its sum is that of its bytes; faults leave no trace."""
    made, events = readers
    objects = {one.name: one for one in made.list()}
    assert {name: one.size for name, one in objects.items()} == {"config.json": 2, "model.safetensors": len(DATA)}
    bucket.faults = [status(503), None, cut(1000), cut(10, reset=True)]
    arena = made.open(objects, len(DATA) + 4096)
    step = 100_000
    jobs = [
        Job(begin, "model.safetensors", begin, min(len(DATA), begin + step), 4096 + begin if begin % 200_000 else NOWHERE)
        for begin in range(0, len(DATA), step)
    ]
    made.add(jobs[:3])
    made.add(jobs[3:])
    came = {done.number: done.crc for done in (events.get(timeout=30) for _ in jobs) if isinstance(done, Done)}
    assert came == {job.number: crc32c.crc32c(DATA[job.begin : job.end]) for job in jobs}
    for job in jobs:
        expected = DATA[job.begin : job.end] if job.to != NOWHERE else bytes(job.end - job.begin)
        assert bytes(arena.view(4096 + job.begin, 4096 + job.end)) == expected
    assert bucket.faults == []
    counts = made.close()
    assert counts["retry"] >= 2
    assert counts["broken"] >= 1


def test_jobs_of_one_request_end_in_memory(readers: tuple[Readers, Events], bucket: Bucket) -> None:
    """Two long requests in pieces, given out one by one, over a break: bytes and sums as if each were a request of its own."""
    made, events = readers
    objects = {one.name: one for one in made.list()}
    arena = made.open(objects, len(DATA) + 4096)
    bucket.asked.clear()
    bucket.faults = [cut(150_000)]
    half, step = len(DATA) // 2, 100_000
    for offset in range(0, half, step):
        for first, last in ((0, half), (half, len(DATA))):
            at = first + offset
            made.add([Job(at, "model.safetensors", at, min(last, at + step), at, last)])
        came = [events.get(timeout=30), events.get(timeout=30)]
        assert {(one.number, one.crc) for one in came} == {
            (at, crc32c.crc32c(DATA[at : min(last, at + step)])) for at, last in ((offset, half), (half + offset, len(DATA)))
        }
    assert bytes(arena.view(0, len(DATA))) == DATA
    assert len(bucket.asked) == 3


def test_a_refusal_is_told_with_its_code(readers: tuple[Readers, Events], bucket: Bucket) -> None:
    """What ends a load comes as the LoadFailed that a thread would raise."""
    made, events = readers
    objects = {one.name: one for one in made.list()}
    made.open(objects, 4096)
    bucket.faults = [status(403)] * 8
    made.add([Job(1, "config.json", 0, 2, 0)])
    failed = events.get(timeout=30)
    assert isinstance(failed, LoadFailed)
    assert failed.failure.code is Code.ACCESS_DENIED


def test_a_list_that_is_refused_raises(readers: tuple[Readers, Events], bucket: Bucket) -> None:
    """A wrong bucket is known before anything else."""
    bucket.list_status = 404
    with pytest.raises(LoadFailed) as failed:
        readers[0].list()
    assert failed.value.failure.code is Code.MODEL_NOT_FOUND


def started(address: str) -> tuple[ProcessReaders, Events]:
    events: Events = SimpleQueue()
    return ProcessReaders("gs://bucket/m", {"STORAGE_EMULATOR_HOST": address}, Pace(2, 2), 15, events, 1), events


def pid_of(readers: ProcessReaders) -> int:
    return readers._children[0]._process.pid


def test_a_process_that_is_killed_is_host_memory(address: str) -> None:
    """SIGKILL from outside is the out-of-memory killer's: the load fails by that name instead of hanging."""
    readers, events = started(address)
    readers.list()
    os.kill(pid_of(readers), signal.SIGKILL)
    failed = events.get(timeout=30)
    assert isinstance(failed, LoadFailed)
    assert failed.failure.code is Code.HOST_MEMORY
    assert readers.close() == {"processes": 1}


def test_a_process_that_cannot_start_tells_why(address: str, tmp_path: Path) -> None:
    """What it wrote last is in the failure: a broken installation is not a riddle."""
    (tmp_path / "crc32c.py").write_text("raise ImportError('no crc32c for this machine')")
    events: Events = SimpleQueue()
    environ = {"STORAGE_EMULATOR_HOST": address, "PYTHONPATH": str(tmp_path)}
    readers = ProcessReaders("gs://bucket/m", environ, Pace(2, 2), 15, events, 1)
    objects = {one.name: one for one in readers.list()}
    readers.open(objects, 4096)
    readers.add([Job(1, "config.json", 0, 2, 0)])
    failed = events.get(timeout=30)
    assert isinstance(failed, LoadFailed)
    assert "no crc32c for this machine" in failed.failure.detail
    readers.close()


def test_a_process_that_raises_at_once_tells_its_last_line(address: str, tmp_path: Path) -> None:
    """It ends before it could answer: status and last line are told."""
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'libssl is missing\\n'); os._exit(7)")
    environ = {"STORAGE_EMULATOR_HOST": address, "PYTHONPATH": str(tmp_path)}
    readers = ProcessReaders("gs://bucket/m", environ, Pace(2, 2), 15, SimpleQueue(), 1)
    with pytest.raises(LoadFailed, match="status 7: libssl is missing"):
        readers.list()
    readers.close()


def test_interrupts_of_a_terminal_are_left_to_who_started_it(address: str) -> None:
    """Ctrl-C reaches the whole group: the reader goes on until it is told to end."""
    readers, _ = started(address)
    readers.list()
    os.kill(pid_of(readers), signal.SIGINT)
    assert len(readers.list()) == 2
    readers.close()


def test_the_process_ends_with_the_one_that_started_it(address: str) -> None:
    """Nobody is left behind when a server is killed."""
    code = (
        "import sys, os, queue; from inference_image.chunks.process import ProcessReaders;"
        "from inference_image.chunks.crew import Pace;"
        "r = ProcessReaders('gs://bucket/m', os.environ, Pace(1, 1), 15, queue.SimpleQueue(), 1);"
        "r.list(); print(r._children[0]._process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "STORAGE_EMULATOR_HOST": address},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(400):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the reader outlived its server")


def test_where_no_process_can_be_started_threads_read(address: str, bucket: Bucket) -> None:
    """An environment that no process can be given is one way to get there: the load goes on, and its record says by whom."""
    environ = {"STORAGE_EMULATOR_HOST": address, "TOO_LONG": "x" * (1 << 20)}
    with pytest.raises(OSError, match="too long"):
        ProcessReaders("gs://bucket/m", environ, Pace(2, 2), 15, SimpleQueue())
    timeline = Timeline()
    stream = begin(Settings(model="gs://bucket/m"), timeline, environ=environ)
    failed = stream.finished.exception(timeout=30)
    assert timeline.record()["reader"] == "threads"
    assert isinstance(failed, LoadFailed)  # it listed the bucket, which holds no tokenizer
    assert failed.failure.code is Code.TOKENIZER_MISSING


def test_no_secret_is_in_an_argument(address: str) -> None:
    """A token is in the environment, never in a command line that everybody on the machine can read."""
    environ = {"STORAGE_EMULATOR_HOST": address, "HF_TOKEN": "hf_canary"}
    readers = ProcessReaders("gs://bucket/m", environ, Pace(1, 1), 15, SimpleQueue(), 1)
    line = Path(f"/proc/{pid_of(readers)}/cmdline").read_bytes().decode()
    assert "hf_canary" not in line
    assert json.loads(line.split("\0")[3])[0] == "gs://bucket/m"
    readers.close()
