"""A run through interruptions: whatever stops it wherever, the next attempts end with the very same weights."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_image.contract import ATTEMPTS, EXIT_DEADLINE, EXIT_DONE, EXIT_FAILED, EXIT_TERMINATED, Code, Kind
from finetune_image.halt import Halt, Why
from finetune_image.ledger import parse
from finetune_image.run import Run, Stop
from finetune_image.store import Folder, Store
from finetune_image.worker import Setting, attempt
from tests.finetune_image.tiny_loop import Killed, Mortal, Shelf, TinyHands, run_of, told

EVENTS = 26
"""One more than a run has that saves only what is better."""
QUIET = Setting(beats=0, background=False)


def once(root: Path, hands: TinyHands, halt: Halt | None = None, store: Store | None = None, setting: Setting = QUIET) -> int:
    """One attempt at the run in `root`/run."""
    place = store or Folder(root / "run")
    return attempt(str(root / "run"), {}, hands=hands, halt=halt, store=place, scratch=root, setting=setting, out=lambda _: None)


def finished(root: Path, hands: TinyHands) -> bytes:
    """Attempts until the run is done; the weights that were published."""
    for _ in range(4):
        if once(root, hands) == EXIT_DONE:
            break
    return weights(root)


def weights(root: Path) -> bytes:
    """All that was published, but for the figures: they tell how often it was tried."""
    there = root / "models" / "0123456789ab"
    assert json.loads((root / "run" / "DONE").read_text())["model"] == str(there)
    assert (there / "MANIFEST").is_file()
    return (there / "model.safetensors").read_bytes() + (there / "config.json").read_bytes()


def fresh(path: Path, stop: Stop | None = None, **settings: Any) -> tuple[Path, TinyHands, Run]:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    run = run_of(path, stop, settings.pop("minutes", 1e-9))
    return path, TinyHands(Folder(path), **settings), run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a run that nothing interrupts."""
    root, hands, _ = fresh(tmp_path_factory.mktemp("undisturbed") / "run")
    return finished(root, hands)


def test_a_run_ends_with_done_and_its_figures(tmp_path: Path) -> None:
    """One attempt without trouble: phases in order, figures, no checkpoint left, the adapter's settings without this machine."""
    root, hands, _ = fresh(tmp_path / "run")
    assert once(root, hands) == EXIT_DONE
    done = json.loads((root / "run" / "DONE").read_text())
    figures = done["figures"]
    assert (figures["ended"], figures["step"], figures["max_steps"], figures["baseline"]) == ("steps", 6, 6, 1.0)
    assert figures["before"][0]["given"] == "c"
    assert figures["after"][0]["given"] == "b"
    assert [one["phase"] for one in told(root, Kind.PHASE)] == [
        "reading data", "reading model", "measuring", "training", "evaluating", "done"
    ]  # fmt: skip
    assert [one["step"] for one in told(root, Kind.EVAL)] == [0, 5, 6]
    assert told(root, Kind.TRAIN)[-1]["gpu_gb"] == 1.5
    assert told(root, Kind.END)[-1]["why"] == "done"
    assert not list((root / "run" / "checkpoints").rglob("*.*"))
    config = json.loads((root / "models" / "0123456789ab" / "config.json").read_text())
    assert config == {"base_model_name_or_path": "m", "target_modules": ["q", "v"]}
    (line,) = parse((root / "run" / ATTEMPTS).read_bytes())
    assert (line.first, line.step) == (0, 6)
    assert once(root, hands) == EXIT_DONE
    assert len(hands.built) == 1


def test_killed_at_every_call_to_the_store(tmp_path: Path) -> None:
    """SIGKILL between any two calls, a checkpoint's, the result's and the publishing ones among them: same weights."""

    def run(at: int) -> tuple[int | None, Shelf, TinyHands]:
        shelf = Shelf()
        run_of(tmp_path, place=shelf.at("run"))
        mortal = Mortal(shelf, at)
        hands = TinyHands(mortal, steps=3)
        try:
            return once(tmp_path, hands, store=mortal.at("run")), shelf, hands
        except Killed:
            hands.place = shelf
            return None, shelf, hands

    def published(shelf: Shelf) -> tuple[bytes | None, bytes | None]:
        there = shelf.at("models/0123456789ab")
        return there.read("model.safetensors"), there.read("config.json")

    code, shelf, _ = run(0)
    assert code == EXIT_DONE
    undisturbed = published(shelf)
    for at in itertools.count(1):
        code, shelf, hands = run(at)
        if code is not None:
            break
        assert not shelf.stat("run/DONE"), f"call {at}"
        assert once(tmp_path, hands, store=shelf.at("run")) == EXIT_DONE, f"call {at}"
        assert published(shelf) == undisturbed, f"call {at}"
    assert at > 50


def at_event(number: int, do: Callable[[], None]) -> Callable[[str, int], None]:
    """Do that at one event of the trainer's loop."""
    return lambda _event, count: do() if count == number else None


def die() -> None:
    raise Killed


def test_killed_at_every_event_of_the_loop(tmp_path: Path, undisturbed: bytes) -> None:
    """SIGKILL between any two steps, and inside of one: same weights."""
    for number in range(1, EVENTS):
        root, hands, _ = fresh(tmp_path / "run", minutes=1e9 if number % 2 else 1e-9)
        hands.beat = at_event(number, die)
        with pytest.raises(Killed):
            once(root, hands)
        hands.beat = lambda *_: None
        assert finished(root, hands) == undisturbed, f"event {number}"


@pytest.mark.parametrize(("why", "code"), [(Why.TERMINATED, EXIT_TERMINATED), (Why.DEADLINE, EXIT_DEADLINE)])
def test_stopped_at_every_event_of_the_loop(tmp_path: Path, undisturbed: bytes, why: Why, code: int) -> None:
    """SIGTERM or the deadline, inside a step as well: saved, said by the exit code, nothing published, same weights later."""
    for number in range(1, EVENTS):
        root, hands, _ = fresh(tmp_path / "run", minutes=1e9)
        halt = Halt()
        hands.beat = at_event(number, halt.signalled if why is Why.TERMINATED else lambda halt=halt: halt.after(0, Why.DEADLINE))
        stopped = once(root, hands, halt)
        hands.beat = lambda *_: None
        assert stopped == code, f"event {number}"
        assert not (root / "models").exists()
        step = hands.built[0].trainer.state.global_step
        assert (root / "run" / "checkpoints" / f"step-{step:06d}" / "COMPLETE").exists() or step == 0
        assert finished(root, hands) == undisturbed, f"event {number}"
        assert told(root, Kind.END)[0]["why"] == why


def test_stopped_three_times_on_the_way(tmp_path: Path, undisturbed: bytes) -> None:
    """A run of several attempts goes on from each checkpoint, not from the first one."""
    root, hands, _ = fresh(tmp_path / "run", minutes=1e9)
    for number in (6, 9, 6):
        halt = Halt()
        hands.beat = at_event(number, halt.signalled)
        assert once(root, hands, halt) == EXIT_TERMINATED
    hands.beat = lambda *_: None
    assert finished(root, hands) == undisturbed
    lines = [json.loads(line) for line in (root / "run" / "attempts.jsonl").read_text().splitlines()]
    assert [(one["number"], one["why"]) for one in lines] == [*((number, "terminated") for number in (1, 2, 3)), (4, "done")]
    assert lines[1]["first"] == lines[0]["step"] > 0


def test_sigterm_outside_of_training_ends_at_once(tmp_path: Path) -> None:
    """While the model is read there is nothing to save: exit 143 without another word of the trainer."""
    root, hands, _ = fresh(tmp_path / "run")
    halt = Halt()
    halt.ask(Why.TERMINATED)
    assert once(root, hands, halt) == EXIT_TERMINATED
    assert hands.built[0].trainer.state.global_step == 0


def test_a_short_task_saves_before_its_end(tmp_path: Path) -> None:
    """A task of 5 s keeps one of them: the checkpoint is there, exit 75, nothing published, and the next attempt goes on."""
    root, hands, _ = fresh(tmp_path / "run", minutes=1e9)
    now = [0.0]
    halt = Halt(clock=lambda: now[0])

    def beat(event: str, _count: int) -> None:
        now[0] += 0.9 if event == "on_step_end" else 0

    hands.beat = beat
    assert once(root, hands, halt, setting=Setting(task_seconds=5, beats=0, background=False)) == EXIT_DEADLINE
    assert 4 <= now[0] < 5
    assert (root / "run" / "checkpoints" / "step-000005" / "COMPLETE").is_file()
    assert not (root / "models").exists()
    assert once(root, hands) == EXIT_DONE


def test_cancelled_stands_still(tmp_path: Path) -> None:
    """The user's CANCELLED stops training at the next step, saved; no attempt goes on while it is there, and none is retried."""
    root, hands, _ = fresh(tmp_path / "run")
    halt = Halt()
    hands.beat = at_event(5, lambda: halt.ask(Why.CANCELLED))
    assert once(root, hands, halt) == EXIT_DONE
    assert not (root / "run" / "DONE").exists()
    (root / "run" / "CANCELLED").touch()
    assert once(root, hands) == EXIT_DONE
    assert len(hands.built) == 1
    (root / "run" / "CANCELLED").unlink()
    assert once(root, hands) == EXIT_DONE
    assert (root / "run" / "DONE").exists()


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    """A checkpoint with another identity ends the run: two data sets are never mixed into one adapter."""
    root, hands, _ = fresh(tmp_path / "run", minutes=1e9)
    halt = Halt()
    hands.beat = at_event(8, halt.signalled)
    once(root, hands, halt)
    path = root / "run" / "run.json"
    path.write_text(path.read_text().replace('"identity": "0123', '"identity": "ffff'))
    assert once(root, hands) == EXIT_FAILED
    assert json.loads((root / "run" / "FAILED").read_text())["code"] == Code.IDENTITY_MISMATCH


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, undisturbed: bytes) -> None:
    """A file that is not what COMPLETE says: the checkpoint before is used, and the same weights come out."""
    root, hands, _ = fresh(tmp_path / "run")
    halt = Halt()
    hands.beat = at_event(12, halt.signalled)
    once(root, hands, halt)
    last = max((root / "run" / "checkpoints").iterdir())
    (last / "optimizer.pt").write_bytes((last / "optimizer.pt").read_bytes()[:-1] + b"9")
    hands.beat = lambda *_: None
    assert finished(root, hands) == undisturbed
    assert any("its checksum differs" in one["text"] for one in told(root, Kind.NOTE))


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    """checkpoint.keep of them and the best one; what an earlier attempt left half way goes too."""
    root, hands, _ = fresh(tmp_path / "run", steps=9, losses={5: 0.1, 9: 0.5})
    (root / "run" / "checkpoints" / "step-000001").mkdir(parents=True)
    (root / "run" / "checkpoints" / "step-000001" / "optimizer.pt").write_text("half")
    halt = Halt()
    hands.beat = at_event(38, halt.signalled)
    assert once(root, hands, halt) == EXIT_TERMINATED
    names = sorted(path.parent.name for path in (root / "run" / "checkpoints").rglob("*.pt"))
    assert sorted(set(names)) == ["step-000005", "step-000007", "step-000008"]
