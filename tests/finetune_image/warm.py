"""A process that has loaded torch and trl, and forks one for each attempt: killed as often as a test likes. Imports them at once."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import datasets  # noqa: F401 - loaded here, once
import peft  # noqa: F401 - the same
import torch
import trl.trainer.sft_trainer  # noqa: F401 - the same

import finetune_image.trainer  # noqa: F401 - the same
from finetune_image.halt import Halt, listen
from finetune_image.worker import Setting, attempt

torch.set_num_threads(1)


def go(root: str) -> None:
    """One attempt at the run in `root`/run, in a process of its own: its exit code is the process's."""
    halt = Halt()
    listen(halt)
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    os._exit(attempt(f"{root}/run", environ, halt=halt, setting=Setting(beats=0.5), out=lambda _: None))
