"""Trouble that stays is told as what it is, and nobody pays for it twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from finetune_image import checkpoints
from finetune_image.carrier import Carrier
from finetune_image.contract import EXIT_DEADLINE, EXIT_FAILED, Code, Kind, metric
from finetune_image.data.checkpoint_words import CheckpointWords
from finetune_image.data.encode import Encoder, Row
from finetune_image.data.rows import read
from finetune_image.data.split import split
from finetune_image.figures import Answer
from finetune_image.halt import Halt
from finetune_image.hands import Material
from finetune_image.ledger import Ledger
from finetune_image.real_hands import RealHands
from finetune_image.run import Data, Stop
from finetune_image.store import Bytes, Folder, Held
from finetune_image.telling import Pulse, Teller
from finetune_image.trainer import Built
from finetune_image.worker import Setting
from inference_image.families import GEMMA3
from tests.finetune_image.test_attempts import once
from tests.finetune_image.test_data_tokens import Letters
from tests.finetune_image.tiny_loop import Shelf, TinyHands, run_of


def test_a_price_that_came_late_counts_for_all(tmp_path: Path) -> None:
    """max_usd with an attempt whose price nobody knew: it is charged today's, and the promise is kept."""
    ledger = Ledger(Folder(tmp_path), "e", None, lambda: 100.0)
    ledger.close("terminated")  # 20 s
    later = Ledger(Folder(tmp_path), "e", 3600.0, lambda: 200.0)
    assert later.spent[1] is None
    assert later.budget_left(Stop(max_usd=100.0)) == pytest.approx(60.0)


def test_held_out_rows_that_give_no_number(tmp_path: Path) -> None:
    """No evaluation has a finite loss: said as that, at once, and not as a checkpoint that is missing."""
    place = Shelf()
    run_of(tmp_path, place=place.at("run"))
    hands = TinyHands(place, losses=dict.fromkeys(range(1, 10), float("nan")))
    assert once(tmp_path, hands, store=place.at("run")) == EXIT_FAILED
    assert json.loads(place.at("run").read("FAILED") or b"")["code"] == Code.LOSS_NOT_FINITE


def test_a_checkpoint_that_breaks_is_heard_of(tmp_path: Path) -> None:
    """Whatever goes wrong while it is brought is told, and the last one's error ends the attempt."""

    class Full(Shelf):
        def at(self, prefix: str) -> Full:
            return Full(f"{self._prefix}{prefix}/", self.there)

        def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
            raise OSError(28, "No space left on device")

    told: list[str] = []
    carrier = Carrier(Full(), "i", 2, lambda _kind, **said: told.append(said["text"]))
    (tmp_path / "optimizer.pt").touch()
    carrier.send(tmp_path, 7, ())
    failed = carrier.settle()
    assert failed is not None
    assert "No space left" in failed.failure.detail
    assert told == ["the checkpoint of step 7 could not be saved: OSError: [Errno 28] No space left on device"]


def test_a_task_too_short_to_begin_is_the_last_but_one(tmp_path: Path) -> None:
    """Its time is over while it still measures, twice: no third GPU hour is paid for, and more time is the advice."""
    place, now = Shelf(), [0.0]
    run_of(tmp_path, place=place.at("run"))

    class Long(TinyHands):
        def answers(self, built: Any, material: Material, *, base: bool) -> tuple[Answer, ...]:
            now[0] = 100.0
            halt.signalled()
            raise AssertionError("unreached")

    setting = Setting(task_seconds=50, beats=0, background=False)
    for code in (EXIT_DEADLINE, EXIT_DEADLINE, EXIT_FAILED):
        now[0] = 0.0
        halt = Halt(clock=lambda: now[0])
        assert once(tmp_path, Long(place), halt, place.at("run"), setting) == code
    assert json.loads(place.at("run").read("FAILED") or b"")["code"] == Code.NO_PROGRESS


def test_answers_are_asked_of_rows_that_fit(tmp_path: Path) -> None:
    """A prompt beyond max_length is cut away in training; generating from it may take more memory than there is."""
    asked: list[Any] = []

    class Heard(Built):
        def answers(self, rows: Sequence[Row], most_tokens: int = 128, *, base: bool = False) -> list[str]:
            asked.extend(rows)
            return ["b"] * len(rows)

    held = [{"prompt": letter * count, "completion": "b"} for letter, count in (("x", 10_000), ("a", 3), ("y", 2_000), ("c", 4))]
    words = CheckpointWords({"bos_token": "^", "eos_token": "$"}, None, Letters())
    wish, language = run_of(tmp_path).wish, SimpleNamespace(tokenizer=None)
    built = Heard(cast(Any, None), 1, cast(Any, None), cast(Any, language), Encoder(words, GEMMA3), wish)
    said = RealHands({}).answers(built, Material((), held), base=False)
    assert [one.prompt for one in said] == ["aaa", "cccc"]
    assert asked == [held[1], held[3]]


def test_a_folder_that_goes_away_is_no_checkpoint(tmp_path: Path) -> None:
    """The attempt's folder is deleted while its checkpoint is brought: half of it is never called whole."""

    class Deleting(Shelf):
        def at(self, prefix: str) -> Deleting:
            return Deleting(f"{self._prefix}{prefix}/", self.there)

        def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
            (tmp_path / "optimizer.pt").unlink(missing_ok=True)
            return super().pour(name, size, chunks, only_if=only_if)

    for name in ("adapter_model.safetensors", "optimizer.pt"):
        (tmp_path / name).write_text("x")
    place = Deleting()
    with pytest.raises(FileNotFoundError):
        checkpoints.put(place, tmp_path, 7, "i")
    assert checkpoints.whole(place) == ()


def test_a_step_that_is_saved_again_is_not_whole_meanwhile(tmp_path: Path) -> None:
    """An attempt that dies while it writes over a checkpoint leaves none of that step, not one of old and new files."""
    for name in ("adapter_model.safetensors", "optimizer.pt"):
        (tmp_path / name).write_text("old")
    place = Shelf()
    checkpoints.put(place, tmp_path, 7, "i")

    class Dying(Shelf):
        def at(self, prefix: str) -> Dying:
            return Dying(f"{self._prefix}{prefix}/", self.there)

        def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
            if name == "optimizer.pt":
                raise KeyboardInterrupt
            return super().pour(name, size, chunks, only_if=only_if)

    with pytest.raises(KeyboardInterrupt):
        checkpoints.put(Dying(there=place.there), tmp_path, 7, "i")
    assert checkpoints.whole(place) == ()


def test_an_attempt_that_fails_waits_for_its_checkpoint(tmp_path: Path) -> None:
    """What is under way when a step breaks is there before the attempt's folder goes."""
    failed = threading.Event()

    class Slow(Shelf):
        def at(self, prefix: str) -> Slow:
            return Slow(f"{self._prefix}{prefix}/", self.there)

        def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
            if name == "optimizer.pt":
                failed.wait(10)
                time.sleep(0.05)
            return super().pour(name, size, chunks, only_if=only_if)

    def beat(event: str, _count: int) -> None:
        if event == "on_substep_end" and hands.built[0].trainer.state.global_step == 1:
            failed.set()
            raise RuntimeError("device-side assert")

    place = Slow()
    run_of(tmp_path, place=place.at("run"))
    hands = TinyHands(place, beat=beat)
    assert once(tmp_path, hands, store=place.at("run"), setting=Setting(beats=0)) == EXIT_FAILED
    (saved,) = checkpoints.whole(place.at("run/checkpoints"))
    assert set(saved.files) >= {"optimizer.pt", "trainer_state.json", "progress.json"}


def test_the_pulse_goes_on_after_anything() -> None:
    """An answer of the place that nobody foresaw ends one beat, not the thread: CANCELLED is heard at the next."""

    class Strange(Shelf):
        asked = 0

        def stat(self, name: str) -> Held | None:
            self.asked += 1
            if self.asked == 1:
                raise ValueError("Expecting value: line 1 column 1")
            heard.set()
            return super().stat(name)

    heard = threading.Event()
    place, halt = Strange(), Halt()
    pulse = Pulse(Teller(place, 1, lambda _: None), Ledger(place, "e", None), place, halt, seconds=0.001)
    pulse.start()
    assert heard.wait(10)
    pulse.stop()


def test_rows_that_all_say_the_same_are_told_as_that() -> None:
    """None is held out, since none would be left to train; they are not too few."""
    data = b'{"prompt": "a", "completion": "b"}\n' * 50
    assert split(read(data, Data()), Data()).notes == ("no row is held out: all say the same, and none would be left to train",)
    assert "less than one" in split(read(data[:70], Data()), Data()).notes[0]


def test_a_line_with_a_number_that_is_none_is_json() -> None:
    """The lines before loss_not_finite are those that the user looks for: Cloud Logging must read them."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    line = metric(Kind.TRAIN, 1.0, 1, step=3, loss=float("nan"), grad_norm=float("inf"), lr=0.1)
    made = json.loads(line, parse_constant=refuse)
    assert (made["loss"], made["grad_norm"], made["lr"]) == ("nan", "inf", 0.1)
    assert made["message"] == "train step=3 loss=nan grad_norm=inf lr=0.1"
