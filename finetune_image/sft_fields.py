"""Owns what is known of trl's SFTConfig without importing it: its fields, their types, and which are the worker's own."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from finetune_image.contract import Code, TuneFailed

_ONE_GPU: Final = "a job has one GPU"
_BUCKET: Final = "the result goes to the bucket"

OWNED: Final[Mapping[str, str]] = {
    "fp16": "Gemma overflows in float16: training is always in bfloat16",
    "fp16_full_eval": "Gemma overflows in float16",
    "bf16": "training is always in bfloat16",
    "bf16_full_eval": "held-out rows are evaluated in the precision that is trained in",
    "output_dir": "the run's folder in the bucket is where everything goes",
    "save_strategy": "checkpoints go by time: checkpoint.minutes",
    "save_steps": "checkpoints go by time: checkpoint.minutes",
    "save_total_limit": "checkpoint.keep says how many stay",
    "save_only_model": "a checkpoint without the optimizer can't be resumed exactly",
    "enable_jit_checkpoint": "the worker saves on SIGTERM itself",
    "resume_from_checkpoint": "a run resumes by itself",
    "load_best_model_at_end": "the best checkpoint is kept by the worker: stop.patience",
    "eval_strategy": "the held-out rows are evaluated by the worker: data.eval",
    "max_length": "",
    "num_train_epochs": "train.epochs",
    "learning_rate": "train.lr",
    "push_to_hub": _BUCKET,
    "trust_remote_code": "code from a model's folder is never run",
    "deepspeed": _ONE_GPU,
    "fsdp": _ONE_GPU,
    "parallelism_config": _ONE_GPU,
    "report_to": "metrics.jsonl and report.md are what is reported",
    "disable_tqdm": "bars are unreadable in Cloud Logging",
    "auto_find_batch_size": "the worker makes smaller micro-batches itself when memory runs out",
    "use_cpu": "a GPU is used where there is one",
    "chat_template_path": "the model's own chat template is what it is served with",
    "model_init_kwargs": "quantize says how the model is read; the rest follows from Gemma's family",
    "dataset_text_field": "data.prompt says which columns of a row are its text: '{column}'",
    "dataset_kwargs": "rows are made into tokens by the worker",
}
"""Fields of SFTConfig that are the worker's own, and why or where to say it. Without a reason: one of ours."""

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "int": (int,), "float": (int, float), "bool": (bool,), "str": (str,), "null": (type(None),),
    "dict": (Mapping,), "list": (list,),
}  # fmt: skip
_POWER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")


@cache
def sft_fields() -> Mapping[str, Any]:
    """Fields of the pinned trl's SFTConfig: name -> default as JSON. A test holds the file to the library."""
    return _table("sft_fields.json")


@cache
def sft_types() -> Mapping[str, Any]:
    """The same fields: name -> {"types": words of JSON's kinds, "choices": the only values that a word may have}."""
    return _table("sft_types.json")


def _table(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((Path(__file__).parent / name).read_text())
    return found


def fraction(value: Any) -> Any:
    """`2e-4` as a number: YAML 1.1, which most readers speak, takes it for a word since it lacks a point."""
    return float(value) if isinstance(value, str) and _POWER.fullmatch(value) else value


def typed(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """SFTConfig's fields with values of their types. Raises TuneFailed(settings_invalid): another type, no such choice."""
    made = {}
    for name, said in given.items():
        row = sft_types()[name]
        types, choices = row["types"], row.get("choices")
        value = fraction(said) if "float" in types and "str" not in types else said
        kinds = tuple(kind for one in types for kind in _KINDS[one])
        spot = f"{where}: train.{name}"
        if not isinstance(value, kinds) or (isinstance(value, bool) and "bool" not in types):
            wanted = " or ".join("none" if one == "null" else one for one in types)
            raise TuneFailed(Code.SETTINGS_INVALID, spot, f"it must be {wanted}, not {value!r}")
        if choices and isinstance(value, str) and value not in choices:
            near = difflib.get_close_matches(value, choices, n=3, cutoff=0.4) or choices
            raise TuneFailed(Code.SETTINGS_INVALID, spot, f"it can't be {value!r}; did you mean {' or '.join(near)}?")
        made[name] = value
    return made
