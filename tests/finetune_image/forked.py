"""Attempts at a real run in processes that are forked warm, and killed as often as a test likes. Imports nothing heavy itself."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from finetune_image.halt import Halt, listen
from finetune_image.run import File, Run, parse
from finetune_image.store import Folder
from finetune_image.worker import Setting, attempt
from tests.inference_image.checkpoints import MODEL

RUN_ID = "0123456789ab"
ROWS = [
    {"prompt": f"Give the {column} of singer {number}", "completion": f"SELECT {column} FROM singer WHERE name = {number}"}
    for number in range(4, 10)
    for column in ("name", "age", "city", "price")
]


def server() -> ForkServerContext:
    """Forks of a process that has loaded torch and trl."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.finetune_image.warm"])
    return context


def fresh(root: Path, minutes: float = 0.003, **train: Any) -> Path:
    """A run of the sample model, all of it below `root`."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    data = root / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    told = {"epochs": 2, "lr": 1e-2, "max_length": 64, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    wish = parse({
        "model": str(MODEL), "name": "tiny", "data": {"train": str(data), "eval": 0.1}, "train": {**told, **train},
        "checkpoint": {"minutes": minutes},
    })  # fmt: skip
    file = File(str(data), hashlib.sha256(data.read_bytes()).hexdigest())
    Folder(root / "run").write("run.json", Run(RUN_ID, "a" * 64, wish, str(root), file).text().encode())
    return root


def tried(forks: ForkServerContext, root: Path, after: float | None = None, number: int = signal.SIGKILL, **setting: Any) -> int:
    """One attempt, with a signal after so many seconds. Its exit code; below 0: the signal that ended it."""
    process = forks.Process(target=_go, args=(str(root), setting))
    process.start()
    process.join(after)
    if process.is_alive() and process.pid:
        os.kill(process.pid, number)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _go(root: str, setting: dict[str, Any]) -> None:
    halt = Halt()
    listen(halt)
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = Setting(**{"beats": 0.5, **setting})
    os._exit(attempt(f"{root}/run", environ, halt=halt, setting=told, scratch=Path(root), out=lambda _: None))


def tight(root: str) -> None:
    """A process for one attempt on a machine where one sequence at a time fits: above it, the third step runs out of memory.

    Its exit code is 99 where a trainer that failed was not let go before the next one was built.
    """
    import weakref

    import torch
    from transformers import TrainerCallback

    from finetune_image.real_hands import RealHands

    class Small(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3 and args.per_device_train_batch_size > 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    class Hands(RealHands):
        before: tuple[Any, ...] = ()

        def build(self, run: Any, model: Any, material: Any, out: Any, callbacks: Any, micro: Any) -> Any:
            if any(one() is not None for one in self.before):
                os._exit(99)
            built = super().build(run, model, material, out, [*callbacks, Small()], micro)
            self.before += (weakref.ref(built.trainer.model),)
            return built

    quiet = Setting(beats=0)
    os._exit(attempt(f"{root}/run", {}, hands=Hands({}), setting=quiet, scratch=Path(root), out=lambda _: None))


def weights(root: Path) -> dict[str, str]:
    """Checksums of all weights that were published."""
    found = [path for place in ("models", "adapters") for path in (root / "gemmactl" / place).rglob("*.safetensors")]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
