"""A real run of trl's trainer, killed and stopped at random moments: it ends with the weights of an undisturbed one. Minutes."""

from __future__ import annotations

import json
import random
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from finetune_image.contract import EXIT_DEADLINE, EXIT_DONE, EXIT_TERMINATED
from tests.finetune_image.forked import fresh, server, tight, tried, weights

MOMENTS = 20


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    return server()


@pytest.fixture(scope="module")
def undisturbed(forks: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """Checksums of what a run publishes that nothing disturbs, and the seconds that it takes."""
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    tried(forks, fresh(root), 0.1)  # the first fork waits for the imports
    fresh(root)
    began = time.monotonic()
    assert tried(forks, root) == EXIT_DONE
    found = weights(root)
    assert len(found) >= 2
    return found, time.monotonic() - began


def how_far(root: Path) -> str:
    """What an attempt left behind."""
    if list((root / "gemmactl").rglob("*")):
        return "publishing"
    if list((root / "run" / "result").rglob("COMPLETE")):
        return "result"
    return "checkpoint" if list((root / "run").rglob("COMPLETE")) else "nothing"


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_at_twenty_random_moments(
    forks: ForkServerContext, tmp_path: Path, undisturbed: tuple[dict[str, str], float]
) -> None:
    """SIGKILL or SIGTERM at twenty moments of runs of several attempts: the adapter and the merged model are the same bytes."""
    wanted, whole = undisturbed
    chance = random.Random(8)
    codes: list[int] = []
    left: list[str] = []
    while len(codes) < MOMENTS:
        root = fresh(tmp_path / "run")
        for _ in range(4):
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            code = tried(forks, root, chance.uniform(0, whole), number)
            if code == EXIT_DONE:
                break
            codes.append(code)
            left.append(how_far(root))
        assert tried(forks, root) == EXIT_DONE, codes
        assert weights(root) == wanted, codes
    assert set(codes) <= {-signal.SIGKILL, -signal.SIGTERM, EXIT_TERMINATED}
    assert len(set(left)) >= 2, left


@pytest.mark.long
def test_memory_that_runs_out_halves_the_micro_batch(forks: ForkServerContext, tmp_path: Path) -> None:
    """Four sequences of a micro-batch, then two, then one, each step the same: trained to the end, each is let go of."""
    root = fresh(tmp_path / "run", per_device_train_batch_size=4, gradient_accumulation_steps=1, packing=False)
    process = forks.Process(target=tight, args=(str(root),))
    process.start()
    process.join()
    assert process.exitcode == EXIT_DONE
    stats = json.loads((root / "run" / "DONE").read_text())["figures"]["stats"]
    assert (stats["micro"], stats["accumulation"]) == (1, 4)
    assert [one["micro"] for one in map(json.loads, (root / "run" / "attempts.jsonl").read_text().splitlines())] == [1]


CODELAB = {
    "packing": False, "train_sampling_strategy": "group_by_length", "optim": "paged_adamw_32bit", "lr_scheduler_type": "cosine",
    "gradient_checkpointing": True, "per_device_train_batch_size": 2,
}  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("told", [{}, CODELAB], ids=["ours", "codelab"])
def test_attempts_too_short_for_the_run(forks: ForkServerContext, tmp_path: Path, told: dict[str, object]) -> None:
    """Tasks that end in the middle: each saves before its end and exits 75, none publishes half, the last has the same bytes."""
    tried(forks, fresh(tmp_path / "warm"), 0.1)
    root = fresh(tmp_path / "undisturbed", **told)
    began = time.monotonic()
    assert tried(forks, root) == EXIT_DONE
    whole, wanted = time.monotonic() - began, weights(root)
    root, codes = fresh(tmp_path / "run", minutes=60, **told), []
    while not codes or (codes[-1] == EXIT_DEADLINE and len(codes) < 12):
        codes.append(tried(forks, root, task_seconds=whole * 0.75))
        assert bool(weights(root)) == (codes[-1] == EXIT_DONE)
    assert codes[0] == EXIT_DEADLINE
    assert codes[-1] == EXIT_DONE
    assert weights(root) == wanted
    lines = [json.loads(line) for line in (root / "run" / "attempts.jsonl").read_text().splitlines()]
    assert [one["why"] for one in lines] == ["deadline"] * (len(codes) - 1) + ["done"]
