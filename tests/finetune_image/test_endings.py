"""How a run ends that can't go on, and what keeps it going: budget, memory, numbers that are none, attempts without a point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_image.callbacks import every_of
from finetune_image.contract import ATTEMPTS, EXIT_DEADLINE, EXIT_DONE, EXIT_FAILED, HOPELESS, Code, Kind, TuneFailed
from finetune_image.halt import Halt, Why
from finetune_image.ledger import Attempt, Ledger, check_progress, parse
from finetune_image.run import Stop
from finetune_image.store import Folder
from finetune_image.worker import Setting, attempt
from tests.finetune_image.test_attempts import QUIET, at_event, fresh, once
from tests.finetune_image.tiny_loop import TinyHands, told

HOUR = 3600.0


def failed(root: Path) -> dict[str, object]:
    made: dict[str, object] = json.loads((root / "run" / "FAILED").read_text())
    return made


def figures(root: Path) -> dict[str, object]:
    made: dict[str, object] = json.loads((root / "run" / "DONE").read_text())["figures"]
    return made


# --- money and time ---------------------------------------------------------------------------------


def spending(root: Path, hands: TinyHands, price: float | None, *, second: float = 600.0) -> int:
    """An attempt whose every step takes `second` seconds, at `price` dollars an hour."""
    now = [1000.0]

    def beat(event: str, _count: int) -> None:
        now[0] += second if event == "on_step_end" else 0

    hands.beat = beat
    halt = Halt(clock=lambda: now[0])
    return attempt(
        str(root / "run"), {}, hands=hands, halt=halt, scratch=root, clock=lambda: now[0], out=lambda _: None,
        setting=Setting(price=price, beats=0, background=False),
    )  # fmt: skip


def test_max_hours_stops_in_time_and_publishes_the_best(tmp_path: Path) -> None:
    """Half an hour for steps of ten minutes: two are trained, the rest is for publishing; the figures say why it ended."""
    root, hands, _ = fresh(tmp_path / "run", Stop(0, max_hours=0.5), minutes=1e9, losses={1: 0.5, 2: 0.7})
    assert spending(root, hands, None) == EXIT_DONE
    made = figures(root)
    assert (made["ended"], made["step"], made["loss"]) == ("budget", 2, 0.7)
    assert made["held_out"] == [[2, 0.7]]
    assert made["seconds"] <= 0.5 * HOUR


def test_max_usd_counts_every_attempt(tmp_path: Path) -> None:
    """Dollars of an attempt that was killed count up to its last sign of life and what may have followed it."""
    root, hands, _ = fresh(tmp_path / "run", Stop(0, max_usd=1.0), minutes=1e9)
    killed = Attempt(1, "e", 0.0, 1800.0 - 35.0).charged(1.0)
    assert killed.usd == pytest.approx(0.5)
    (root / "run" / ATTEMPTS).write_text(json.dumps(vars(killed)) + "\n")
    assert spending(root, hands, 1.0) == EXIT_DONE
    assert (figures(root)["ended"], figures(root)["step"]) == ("budget", 2)
    assert json.loads((root / "run" / "DONE").read_text())["usd"] <= 1.0
    assert told(root, Kind.TRAIN)[-1]["usd"] == pytest.approx(0.5 + 1220 / HOUR, abs=1e-3)


def test_a_budget_without_a_price_is_said_to_be_none(tmp_path: Path) -> None:
    """max_usd where nobody knows what the machine costs: trained to the end, and told so."""
    root, hands, _ = fresh(tmp_path / "run", Stop(0, max_usd=0.01), minutes=1e9)
    assert spending(root, hands, None) == EXIT_DONE
    assert figures(root)["ended"] == "steps"
    assert any("max_usd is not kept" in one["text"] for one in told(root, Kind.NOTE))


def test_nothing_left_and_nothing_saved_is_a_failure(tmp_path: Path) -> None:
    """A budget below what publishing takes: refused before a step, with what to raise, and no attempt follows."""
    root, hands, _ = fresh(tmp_path / "run", Stop(0, max_hours=0.01))
    assert spending(root, hands, None) == EXIT_FAILED
    assert failed(root)["code"] == Code.BUDGET_SPENT
    assert "max_hours 0.01" in str(failed(root)["detail"])
    assert once(root, hands) == EXIT_FAILED
    assert len(hands.built) == 1


def test_the_last_of_a_budget_publishes_what_is_saved(tmp_path: Path) -> None:
    """An attempt that begins with next to nothing left publishes the newest checkpoint, and reads no model for it."""
    root, hands, _ = fresh(tmp_path / "run", Stop(0, max_hours=1.0), minutes=1e9)
    halt = Halt()
    hands.beat = at_event(8, halt.signalled)
    once(root, hands, halt)
    lines = parse((root / "run" / ATTEMPTS).read_bytes())
    spent = Attempt(2, "e", 0.0, HOUR, ended=HOUR - 60, why="deadline").charged(None)
    (root / "run" / ATTEMPTS).write_text("".join(json.dumps(vars(one)) + "\n" for one in (*lines, spent)))
    assert spending(root, hands, None) == EXIT_DONE
    made = figures(root)
    assert (made["ended"], made["step"], made["max_steps"], made["baseline"]) == ("budget", 2, 6, 1.0)
    assert len(hands.built) == 1


# --- the GPU's memory -------------------------------------------------------------------------------


def test_too_little_gpu_memory_makes_smaller_micro_batches(tmp_path: Path) -> None:
    """Two sizes that don't fit: halved twice, said so, remembered for the next attempt, trained to the end."""
    root, hands, _ = fresh(tmp_path / "run", micro=8, fits=2)
    halt = Halt()
    hands.beat = at_event(9, halt.signalled)
    once(root, hands, halt)
    assert [one.smaller for one in hands.built] == [4, 2, 1]
    hands.beat = lambda *_: None
    assert once(root, hands) == EXIT_DONE
    assert len(hands.built) == 4
    assert [one["text"] for one in told(root, Kind.NOTE) if "micro" in one["text"]] == [
        "the GPU's memory was too small: micro-batches of 4 from now on, more of them, the same step",
        "the GPU's memory was too small: micro-batches of 2 from now on, more of them, the same step",
    ]


def test_one_sequence_that_does_not_fit_is_a_failure_with_advice(tmp_path: Path) -> None:
    """No smaller micro-batch: FAILED, and what to change, the least loss first."""
    root, hands, _ = fresh(tmp_path / "run", micro=2, fits=0)
    assert once(root, hands) == EXIT_FAILED
    said = failed(root)
    assert said["code"] == Code.OUT_OF_GPU_MEMORY
    assert said["advice"] == [
        "shorter sequences: --set train.max_length=512", "a smaller adapter: --set lora.r=8",
        "the base in 4 bits: --set quantize=nf4", "a smaller model", "a GPU with more memory: nvidia-rtx-pro-6000",
    ]  # fmt: skip


# --- numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_three_logs_without_a_number_end_the_run(tmp_path: Path, bad: float) -> None:
    """A loss that is no number, three logs in a row: FAILED with a lower learning rate to try, nothing published."""
    root, hands, _ = fresh(tmp_path / "run")

    def beat(event: str, _count: int) -> None:
        if event == "on_step_end" and hands.built[-1].trainer.state.global_step >= 2:
            hands.built[-1].trainer.weight = bad

    hands.beat = beat
    assert once(root, hands) == EXIT_FAILED
    said = failed(root)
    assert (said["code"], said["where"]) == (Code.LOSS_NOT_FINITE, "step 4")
    assert said["advice"][0] == "a lower learning rate: --set train.lr=5e-05"  # type: ignore[index]  # a list
    assert not (root / "models").exists()


@pytest.mark.parametrize(
    ("losses", "ended", "step"),
    [
        ({10: 0.5, 20: 0.5, 30: 0.6}, "patience", 10),
        ({10: 0.5, 20: 0.6, 30: 0.4}, "steps", 30),
        ({10: 0.5, 20: 0.4, 30: 0.6}, "steps", 20),
    ],
)
def test_no_better_loss_stops_early_and_keeps_the_best(tmp_path: Path, losses: dict[int, float], ended: str, step: int) -> None:
    """stop.patience evaluations that are no better end it before the last step; the weights of the best one are published."""
    root, hands, _ = fresh(tmp_path / "run", Stop(patience=2), steps=31, minutes=1e9, losses={**losses, 31: 0.9}, accumulation=1)
    assert every_of(31, 0.3) == 10
    assert once(root, hands) == EXIT_DONE
    assert (figures(root)["ended"], figures(root)["step"], figures(root)["loss"]) == (ended, step, losses[step])
    assert hands.built[0].trainer.state.global_step == (30 if ended == "patience" else 31)


def test_without_held_out_rows_the_last_step_is_the_result(tmp_path: Path) -> None:
    """data.eval 0: no evaluation, no early stop, the weights of the last step."""
    root, hands, _ = fresh(tmp_path / "run", held=False)
    assert once(root, hands) == EXIT_DONE
    made = figures(root)
    assert (made["step"], made["loss"], made["held_out"], made["before"]) == (6, None, [], [])


# --- attempts without a point -----------------------------------------------------------------------


def test_the_same_error_twice_is_the_last(tmp_path: Path) -> None:
    """An unknown error may pass; when it comes back at the same step, no third GPU hour is paid for."""
    root, hands, _ = fresh(tmp_path / "run")

    def beat(event: str, _count: int) -> None:
        if event == "on_substep_end":
            raise RuntimeError("device-side assert")

    hands.beat = beat
    assert [once(root, hands) for _ in range(3)] == [EXIT_FAILED] * 3
    assert len(hands.built) == 2
    assert failed(root)["code"] == Code.NO_PROGRESS
    assert "device-side assert" in str(failed(root)["detail"])


def test_a_task_too_short_for_a_step_is_the_last_but_one(tmp_path: Path) -> None:
    """Two deadlines without a step: FAILED with more time as the advice, not an endless chain of attempts."""
    root, hands, _ = fresh(tmp_path / "run")
    for _ in range(2):
        halt = Halt()
        halt.after(0, Why.DEADLINE)
        assert once(root, hands, halt) == EXIT_DEADLINE
    assert once(root, hands) == EXIT_FAILED
    assert failed(root)["advice"][0] == "give an attempt more time: --timeout"  # type: ignore[index]  # a list


def line(why: str, step: int, first: int = 0, error: str = "") -> Attempt:
    return Attempt(1, "", 0, 0, first, step, "training", why=why, error=error)


@pytest.mark.parametrize(
    ("before", "hopeless"),
    [
        ((line("killed", 4, 4),) * 2, False),
        ((line("killed", 4, 4),) * 3, True),
        ((line("terminated", 4, 4),) * 5, False),
        ((line("failed", 4, 0, "x"), line("failed", 4, 4, "x")), True),
        ((line("failed", 4, 4, "x"), line("failed", 4, 4, "y")), False),
        ((line("failed", 4, 4, "x"), line("failed", 8, 4, "x")), False),
        ((line("deadline", 4, 0), line("deadline", 8, 4), line("deadline", 12, 8)), False),
        ((line("done", 4, 4),) * 3, False),
    ],
)
def test_what_counts_as_no_progress(before: tuple[Attempt, ...], hopeless: bool) -> None:
    """The same end at the same spot, twice where it says why, three times where it was killed; a step of progress forgives."""
    if not hopeless:
        return check_progress(before)
    with pytest.raises(TuneFailed) as caught:
        check_progress(before)
    assert caught.value.failure.code in HOPELESS
    return None


def test_attempts_are_charged_from_before_their_python(tmp_path: Path) -> None:
    """The ledger adds what a container costs before it runs, and no price is no sum."""
    store, now = Folder(tmp_path), [0.0]
    ledger = Ledger(store, "e", 3600.0, lambda: now[0])
    now[0] = 10.0
    ledger.close("terminated")
    assert parse((tmp_path / ATTEMPTS).read_bytes())[0].usd == pytest.approx(30.0)
    second = Ledger(store, "e", None, lambda: now[0])
    assert second.now.number == 2
    assert second.spent == (pytest.approx(50.0), None)
    assert second.budget_left(Stop(max_usd=1.0)) == float("inf")
    assert second.budget_left(Stop(max_hours=1.0)) == pytest.approx(HOUR - 50)


@pytest.mark.parametrize(("steps", "epochs", "every"), [(100, 1, 10), (300, 3, 10), (10, 1, 5), (3, 1, 5), (4000, 10, 100)])
def test_evaluations_come_by_steps(steps: int, epochs: float, every: int) -> None:
    """Ten in an epoch, forty at most, five steps apart: by steps, so that when a run stops early depends on no clock."""
    assert every_of(steps, epochs) == every


def test_quiet_is_a_setting(tmp_path: Path) -> None:
    """What the environment says of a task; nonsense says nothing."""
    said = Setting.of({"GEMMACTL_TASK_SECONDS": "3600", "GEMMACTL_USD_PER_HOUR": "-1", "CLOUD_RUN_EXECUTION": "e"})
    assert (said.task_seconds, said.price, said.execution, QUIET.beats) == (3600.0, None, "e", 0)


def test_a_resumed_run_is_tried_again(tmp_path: Path) -> None:
    """Who removes FAILED after no_progress gets attempts that train: what was mended outside must be able to work."""
    root, hands, _ = fresh(tmp_path / "run")

    def beat(event: str, _count: int) -> None:
        raise RuntimeError(event)

    hands.beat = beat
    assert [once(root, hands) for _ in range(3)] == [EXIT_FAILED] * 3
    (root / "run" / "FAILED").unlink()
    hands.beat = lambda *_: None
    assert once(root, hands) == EXIT_DONE
