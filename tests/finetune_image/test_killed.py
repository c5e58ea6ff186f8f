"""A real run of trl's trainer, killed and stopped at random moments: it ends with the weights of an undisturbed one. Minutes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from finetune_image.contract import EXIT_DEADLINE, EXIT_DONE, EXIT_TERMINATED
from finetune_image.run import File, Run, parse
from finetune_image.store import Folder
from tests.finetune_image.warm import go
from tests.inference_image.checkpoints import MODEL

MOMENTS = 20
RUN_ID = "0123456789ab"
ROWS = [
    {"prompt": f"Give the {column} of singer {number}", "completion": f"SELECT {column} FROM singer WHERE name = {number}"}
    for number in range(4, 10)
    for column in ("name", "age", "city", "price")
]
TOLD: dict[str, Any] = {
    "epochs": 2, "lr": 1e-2, "max_length": 64, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServerContext]:
    """Forks of a process that has loaded torch and trl."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([go.__module__])
    yield context


def fresh(root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    data = root / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    said = {"train": str(data), "eval": 0.1}
    wish = parse({"model": str(MODEL), "name": "tiny", "data": said, "train": TOLD, "checkpoint": {"minutes": 0.003}})
    file = File(str(data), hashlib.sha256(data.read_bytes()).hexdigest())
    Folder(root / "run").write("run.json", Run(RUN_ID, "a" * 64, wish, str(root), file).text().encode())
    return root


def tried(forks: ForkServerContext, root: Path, after: float | None, number: int = signal.SIGKILL) -> int | None:
    """One attempt, with a signal after so many seconds; None: without. Its exit code, -9 when it was killed."""
    process = forks.Process(target=go, args=(str(root),))
    process.start()
    process.join(after)
    if after is not None and process.is_alive():
        assert process.pid
        (process.kill if number == signal.SIGKILL else process.terminate)()
    process.join()
    return process.exitcode


def weights(root: Path) -> dict[str, str]:
    """Checksums of all weights that were published."""
    found = [path for place in ("models", "adapters") for path in (root / "gemmactl" / place).rglob("*.safetensors")]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_killed_at_twenty_random_moments(forks: ForkServerContext, tmp_path: Path) -> None:
    """SIGKILL or SIGTERM at twenty moments of runs of several attempts: the adapter and the merged model are the same bytes."""
    root = fresh(tmp_path / "undisturbed")
    tried(forks, root, 0.1)  # the first fork waits for the imports
    root = fresh(root)
    began = time.monotonic()
    assert tried(forks, root, None) == EXIT_DONE
    whole = time.monotonic() - began
    undisturbed = weights(root)
    assert len(undisturbed) >= 2
    chance, seen = random.Random(8), []
    while len(seen) < MOMENTS:
        root = fresh(tmp_path / "run")
        for _ in range(4):
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            code = tried(forks, root, chance.uniform(0, whole), number)
            if code == EXIT_DONE:
                break
            seen.append(code)
            assert not (root / "run" / "DONE").exists() or code == -signal.SIGKILL
        ends = [tried(forks, root, None) for _ in range(2)]
        assert ends == [EXIT_DONE] * 2, seen
        assert weights(root) == undisturbed, seen
    assert {code for code in seen if code not in {-signal.SIGKILL, -signal.SIGTERM, EXIT_TERMINATED}} == set()
    assert EXIT_DEADLINE not in seen
