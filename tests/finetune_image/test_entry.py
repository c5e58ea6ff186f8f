"""The container's process: signals, the looks before torch, and what is told while it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from finetune_image.contract import CANCELLED, EXIT_DONE, EXIT_FAILED, EXIT_TERMINATED, METRICS, Code, Failure, Kind, TuneFailed
from finetune_image.halt import Halt, Terminated, Why, deadline_of
from finetune_image.ledger import Ledger
from finetune_image.store import Folder, Held
from finetune_image.telling import LIMIT, Pulse, Teller, points, thinned
from tests.finetune_image.tiny_loop import Shelf


def entered(root: Path, *, imports: bool = False) -> subprocess.CompletedProcess[str]:
    """`python -m finetune_image` at the run in `root`, with or without a list of what it imported."""
    flags = ["-X", "importtime"] if imports else []
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "GEMMACTL_RUN": str(root)}
    command = [sys.executable, *flags, "-m", "finetune_image"]
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=False)


def test_a_hopeless_run_ends_before_torch_is_loaded(tmp_path: Path) -> None:
    """FAILED is there: exit 1 with its line and its advice, without an import of what trains."""
    said = Failure(Code.DATA_INVALID, "a.jsonl:3", "not JSON", ("repair it",))
    Folder(tmp_path).write("FAILED", said.text().encode())
    ended = entered(tmp_path, imports=True)
    assert ended.returncode == EXIT_FAILED
    assert said.line() in ended.stdout
    assert "finetune_image.worker" in ended.stderr
    assert not [line for line in ended.stderr.splitlines() if line.rpartition("|")[2].strip().split(".")[0] in {"torch", "numpy"}]


def test_no_run_is_named(tmp_path: Path) -> None:
    """GEMMACTL_RUN is missing: one line that doctor reads, exit 1."""
    ended = subprocess.run(
        [sys.executable, "-m", "finetune_image"], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )  # fmt: skip
    assert ended.returncode == EXIT_FAILED
    assert json.loads(ended.stdout)["finetune_failed"]["code"] == Code.RUN_INVALID


STUBBORN = """
import hashlib, sys, time
from finetune_image import halt
halt.GRACE = 0.2
one = halt.Halt()
halt.listen(one)
if sys.argv[1] == "busy":
    with one.gentle():  # as in the training loop
        print("up", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # one call of C: no handler runs inside of it
print("up", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["idle", "busy"])
def test_sigterm_ends_the_process_in_time(how: str) -> None:
    """SIGTERM ends it, also where one long call into C keeps every handler waiting."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == (1 if how == "idle" else EXIT_TERMINATED)


def test_a_signal_is_gentle_only_in_the_loop() -> None:
    """In the loop it is noted, in an evaluation inside of it and outside it raises; a second one changes nothing."""
    halt = Halt()
    with halt.gentle():
        halt.signalled()
        assert halt.why is Why.TERMINATED
        with pytest.raises(Terminated), halt.abrupt():
            pass
    halt.signalled()
    with pytest.raises(Terminated), halt.gentle():
        pass
    other = Halt()
    with pytest.raises(Terminated):
        other.signalled()


def test_which_reason_counts() -> None:
    """A signal before all, a word of the user before the clock, the deadline before money."""
    now = [0.0]
    halt = Halt(lambda: now[0])
    halt.after(10, Why.BUDGET)
    halt.after(20, Why.DEADLINE)
    seen = []
    for at in (5, 10, 20):
        now[0] = at
        seen.append(halt.why)
    assert seen == [None, Why.BUDGET, Why.DEADLINE]
    halt.ask(Why.CANCELLED)
    assert halt.why is Why.CANCELLED
    halt.ask(Why.TERMINATED)
    halt.ask(Why.CANCELLED)
    assert halt.why is Why.TERMINATED
    assert (deadline_of(3600), deadline_of(300), deadline_of(5)) == (3480, 240, 4)


class Away(Shelf):
    """A place out of reach, until it is there."""

    gone = True

    def write(self, name: str, data: bytes | Path, *, only_if: str | None = None) -> Held:
        if self.gone:
            raise TuneFailed(Code.NETWORK_FAILED, name, "no route")
        return super().write(name, data, only_if=only_if)


def test_lines_wait_for_a_place_out_of_reach() -> None:
    """A flush that fails ends nothing; the next one brings all lines, those of earlier attempts first."""
    place = Away(there={METRICS: (b'{"kind": "note"}\n', 1)})
    heard: list[str] = []
    teller = Teller(place, 2, heard.append, lambda: 1.0)
    teller.tell(Kind.NOTE, text="a")
    teller.flush()
    assert len(heard) == 1
    place.gone = False
    teller.flush()
    lines = (place.read(METRICS) or b"").decode().splitlines()
    assert [json.loads(line).get("text") for line in lines] == [None, "a"]
    assert json.loads(lines[1])["attempt"] == 2


def test_metrics_are_bounded() -> None:
    """Beyond a MiB older lines of training are left out, every second one, and nothing else is."""
    place = Shelf()
    teller = Teller(place, 1, lambda _: None, lambda: 1.0)
    for step in range(12_000):
        teller.tell(Kind.TRAIN, step=step, loss=1.0)
        if step % 1000 == 0:
            teller.tell(Kind.EVAL, step=step, loss=2.0)
    teller.flush()
    data = place.read(METRICS) or b""
    assert LIMIT / 3 < len(data) < LIMIT * 1.1
    assert len(points(data.splitlines(), Kind.EVAL)) == 12
    trained = points(data.splitlines(), Kind.TRAIN)
    assert (trained[-1], len(trained) < 12_000) == ((11_999, 1.0), True)
    assert thinned(['"kind": "train" 1', '"kind": "train" 2', '"kind": "train" 3', "x"]) == [
        '"kind": "train" 2',
        '"kind": "train" 3',
        "x",
    ]


def test_the_later_attempt_tells_a_step_again() -> None:
    """Points by step: what an interrupted attempt told beyond its checkpoint counts no more."""
    lines = ['{"kind": "train", "step": 2, "loss": 9}', '{"kind": "train", "step": 1, "loss": 3}', "nonsense",
             '{"kind": "train", "step": 2, "loss": 2}', '{"kind": "eval", "step": 2, "loss": 5}']  # fmt: skip
    assert points(lines, Kind.TRAIN) == ((1, 3.0), (2, 2.0))


def test_the_pulse_beats_and_hears_cancelled() -> None:
    """A sign of life in the ledger, the lines in their object, and CANCELLED makes the attempt stop."""
    place, halt = Shelf(), Halt()
    ledger = Ledger(place, "e", None, lambda: 7.0)
    teller = Teller(place, 1, lambda _: None, lambda: 7.0)
    pulse = Pulse(teller, ledger, place, halt, seconds=0.01)
    teller.tell(Kind.NOTE, text="a")
    place.write(CANCELLED, b"")
    pulse.start()
    until = time.monotonic() + 10
    while halt.why is None and time.monotonic() < until:
        time.sleep(0.005)
    pulse.stop()
    assert halt.why is Why.CANCELLED
    assert place.read(METRICS)
    assert json.loads(place.read("attempts.jsonl") or b"")["seen"] == 7.0


def test_done_needs_nothing_more(tmp_path: Path) -> None:
    """DONE is there: exit 0 and not a word to the run's place."""
    Folder(tmp_path).write("DONE", b"{}")
    assert entered(tmp_path).returncode == EXIT_DONE
    assert [path.name for path in tmp_path.iterdir()] == ["DONE"]
