"""A value for each field of trl's SFTConfig that is not its default, to see that it arrives. Knows no trl."""

from __future__ import annotations

import dataclasses
from typing import Any

from finetune_image.contract import TuneFailed
from finetune_image.run import OWNED, parse, sft_fields
from finetune_image.sft_fields import sft_types

OTHER: dict[str, Any] = {"int": 3, "float": 0.5, "str": "word", "list": ["word"], "dict": {"some": 1}}
# what a field can only be, where the first other value that fits its type is refused by the library or by this machine
ONLY: dict[str, Any] = {
    "accelerator_config": {"split_batches": True}, "tf32": False, "pad_to_multiple_of": 8, "hub_token": None,
    "debug": [], "include_num_input_tokens_seen": "all", "train_sampling_strategy": "group_by_length",
    "torch_compile": False, "torch_compile_backend": None, "torch_compile_mode": None, "fsdp_config": None,
    "logging_strategy": "epoch", "dataloader_prefetch_factor": None, "optim": "adafactor", "warmup_steps": 3,
    "loss_type": "dft", "packing_strategy": "wrapped", "eval_steps": None, "lr_scheduler_type": "cosine",
    "gradient_checkpointing_kwargs": {"every_n_layers": 2}, "activation_checkpointing_kwargs": {"every_n_layers": 2},
    "metric_for_best_model": None, "greater_is_better": None, "label_names": ["labels"],
    "trackio_static_space_id": None, "ddp_backend": None, "activation_checkpointing": True,
    "gradient_checkpointing": True, "use_liger_kernel": False, "do_eval": True, "local_rank": -1,
}  # fmt: skip


def other_values() -> dict[str, Any]:
    """{field: value} of all that a user may set by trl's own name."""
    given: dict[str, Any] = {}
    for name, default in sft_fields().items():
        if name in OWNED or name in {"packing", "seed"}:
            continue
        row = sft_types()[name]
        other = [*row.get("choices", ()), True, False, *(OTHER[one] for one in row["types"] if one in OTHER)]
        fits = [value for value in other if value != default and _fits(name, value)]
        given[name] = ONLY[name] if name in ONLY else fits[0]
    return given


def _fits(name: str, value: Any) -> bool:
    try:
        parse({"train": {name: value}})
    except TuneFailed:
        return False
    return True


def plain_value(value: Any) -> Any:
    """An enum's word, a config's own dictionary."""
    if dataclasses.is_dataclass(value) or hasattr(value, "to_dict"):
        return {"split_batches": value.to_dict()["split_batches"]}
    return getattr(value, "value", value)
