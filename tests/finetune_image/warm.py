"""What a forked worker must not load again: torch, trl and what they pull in. For the fork server alone; takes seconds."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import datasets  # noqa: F401 - loaded here, once, as all of these
import matplotlib.figure  # noqa: F401 - the loss curve
import peft  # noqa: F401 - loaded here, once
import torch
import trl.trainer.sft_trainer  # noqa: F401 - loaded here, once

import finetune_image.trainer  # noqa: F401 - loaded here, once

torch.set_num_threads(1)
