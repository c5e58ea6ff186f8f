"""Owns trl's SFTConfig of a run: our names, what is passed through, what is the worker's own. Knows no model and no rows."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.micro import TOKENS, Cut

if TYPE_CHECKING:
    from trl.trainer.sft_config import SFTConfig

    from finetune_image.run import Wish

LINES: Final = 100
"""About as many lines a run logs; a step is told at least every tenth."""
_WORKERS: Final[Mapping[str, Any]] = {
    "save_strategy": "no",
    "eval_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    # by default transformers logs a loss that is no number as the mean of those before: nobody would see it
    "logging_nan_inf_filter": False,
}
_PREPARED: Final[Mapping[str, Any]] = {"assistant_only_loss": False, "completion_only_loss": False, "chat_template_path": None}
"""What encode.py did already, and trl refuses to be told of rows that are tokens."""
_FORMER: Final[Mapping[str, str]] = {
    "activation_checkpointing": "gradient_checkpointing",
    "activation_checkpointing_kwargs": "gradient_checkpointing_kwargs",
}
"""Fields by a name that older transformers (5.17) don't know, and the one they have."""


def silence() -> None:
    """Bars and warnings of the libraries off: in Cloud Logging each would be a line, and none is for the user."""
    import datasets
    import transformers

    logs: Any = transformers.utils.logging  # untyped
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    for name in ("trl", "peft", "accelerate", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for about in ("gradient_checkpointing", "use_reentrant", "save_only_model"):
        warnings.filterwarnings("ignore", message=f".*{about}.*")


def checkpointing(wish: Wish) -> bool | None:
    """The user's word on activation checkpointing, under its new name or its old one; None: it follows from the memory."""
    sft = wish.train.sft
    found = sft.get("activation_checkpointing")
    return sft.get("gradient_checkpointing") if found is None else found


def fixed(wish: Wish) -> Cut | None:
    """The micro-batch that the user named in SFTConfig's own words; None: it follows from batch_tokens."""
    sft = wish.train.sft
    if not {"per_device_train_batch_size", "gradient_accumulation_steps"} & set(sft):
        return None
    return Cut(int(sft.get("per_device_train_batch_size", 1)), int(sft.get("gradient_accumulation_steps", 1)))


def logging_steps(wish: Wish, steps: int) -> float:
    return float(wish.train.sft.get("logging_steps", max(1, min(10, steps // LINES))))


def named(given: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """The same by names that are known; a newer name's value goes before that of its former one."""
    newer = {former: given[name] for name, former in _FORMER.items() if name in given and name not in known}
    return {name: value for name, value in given.items() if name not in _FORMER or name in known} | newer


def config(wish: Wish, out: Path, batch: Cut, *, cpu: bool, mixed: bool) -> SFTConfig:
    """Every field of the wish as trl has it. `mixed`: bfloat16 with float32 adapters.

    Raises TuneFailed(settings_invalid) for values that SFTConfig refuses, with its words.
    """
    from trl.trainer.sft_config import SFTConfig

    said = wish.train
    given: dict[str, Any] = {
        "num_train_epochs": said.epochs,
        "learning_rate": said.lr,
        "max_length": said.max_length,
        "packing": said.packing,
        "warmup_steps": said.warmup,
        "seed": said.seed,
        "optim": "adamw_torch_fused",
        "per_device_eval_batch_size": max(1, min(8, TOKENS // said.max_length)),
        "dataloader_pin_memory": not cpu,
        **_WORKERS,
        **said.sft,
        "per_device_train_batch_size": batch.micro,
        "gradient_accumulation_steps": batch.accumulation,
        "activation_checkpointing": batch.checkpointing,
        "gradient_checkpointing": batch.checkpointing,
        "output_dir": str(out),
        "use_cpu": cpu,
        "bf16": mixed,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return SFTConfig(**named(given, SFTConfig.__dataclass_fields__))
    except (ValueError, TypeError, ImportError, RuntimeError, OSError) as error:
        raise TuneFailed(Code.SETTINGS_INVALID, "train", str(error)[:300]) from error


def prepared(made: SFTConfig) -> SFTConfig:
    """The same for rows that are tokens already, on one GPU of however many a machine has."""
    for name, value in _PREPARED.items():
        setattr(made, name, value)
    made._n_gpu = min(1, made.n_gpu)  # noqa: SLF001 - a Trainer splits batches over all it sees, and has no word against it
    return made
