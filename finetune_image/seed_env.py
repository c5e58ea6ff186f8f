"""The variables of the codelab's finetune.py as a wish, with that script's defaults. Knows no library and makes no call.

source: Google's codelab "How to fine-tune an LLM using Cloud Run Jobs", step 4, finetune.py: each `os.getenv`, each constant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetune_image.contract import MODELS, Code, TuneFailed
from finetune_image.run import Checkpoint, Data, Lora, Output, Stop, Train, Wish

MODEL_NAME: Final = "MODEL_NAME"
NEW_MODEL: Final = "NEW_MODEL"
BUCKET_NAME: Final = "BUCKET_NAME"
DATASET: Final = "hf:b-mc2/sql-create-context:train"
TEMPLATE: Final = "Question: {question}\nContext: {context}\nAnswer: {answer}"
_NO_BUCKET: Final = "YOUR_BUCKET_NAME"
"""The script's own default, which nobody can write to."""
_ALL: Final = -1
NUMBERS: Final[Mapping[str, int]] = {
    "LORA_R": 4,
    "LORA_ALPHA": 8,
    "TRAIN_BATCH_SIZE": 1,
    "EVAL_BATCH_SIZE": 2,
    "GRADIENT_ACCUMULATION_STEPS": 1,
    "DATASET_LIMIT": 5000,
    "LOGGING_STEPS": 50,
    "MAX_SEQ_LENGTH": 512,
}
"""Variables that hold a whole number, with the script's defaults."""
VARIABLES: Final = (MODEL_NAME, NEW_MODEL, BUCKET_NAME, *NUMBERS)


@dataclass(frozen=True)
class Difference:
    """One thing that the worker does otherwise than the script did it."""

    what: str
    was: str
    now: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.now}, not {self.was}: {self.why}"


DIFFERENT: Final = (
    Difference("precision", "float16", "bfloat16", "Gemma overflows in float16, and an L4 has bfloat16"),
    Difference("merge", "a float16 copy of the base on the GPU", "tensor by tensor into the base's own bfloat16 files",
               "each sum is rounded once, and no GPU holds the model twice"),
    Difference("attempt", "begins anew", "goes on from a checkpoint, made every five minutes",
               "a GPU task is ended after an hour, or any time for maintenance"),
    Difference("padding", "the end of the text", "Gemma's own <pad>", "the end of an answer must be learnt"),
)  # fmt: skip
"""Whatever the variables say."""


@dataclass(frozen=True)
class Seed:
    """The script's variables, read. `bucket`: without `gs://`."""

    wish: Wish
    bucket: str
    differences: tuple[Difference, ...]


def is_seed(environ: Mapping[str, str]) -> bool:
    """Whether somebody gave the script's variables: its bucket is the one that has no use otherwise."""
    return bool(environ.get(BUCKET_NAME, "").strip())


def read(environ: Mapping[str, str]) -> Seed:
    """The wish that the variables make.

    Raises:
        TuneFailed: (settings_invalid) no bucket, or a value that can't be, by the variable's name.
    """
    bucket = environ.get(BUCKET_NAME, "").strip().removeprefix("gs://").rstrip("/")
    if not bucket or bucket == _NO_BUCKET or "/" in bucket:
        raise _bad(BUCKET_NAME, f"it must name a bucket, not {bucket!r}", f"set {BUCKET_NAME} to the bucket for the model")
    number = {name: _number(environ, name) for name in NUMBERS}
    said = environ.get(NEW_MODEL, "").strip() or "gemma-2b-sql"
    name = named(said)
    if not name:
        raise _bad(NEW_MODEL, f"{said!r} has no letter that a name could begin with", "use a-z, 0-9 and -, first a letter")
    limit = number["DATASET_LIMIT"]
    wish = Wish(
        model=environ.get(MODEL_NAME, "").strip() or "google/gemma-2b",
        name=name,
        data=Data(DATASET, eval=0.0, limit=None if limit == _ALL else limit, format="template", prompt=TEMPLATE),
        lora=Lora(number["LORA_R"], number["LORA_ALPHA"], 0.1, "query-value"),
        quantize="nf4",
        train=Train(1.0, 2e-4, number["MAX_SEQ_LENGTH"], packing=False, warmup=0.03, sft=_sft(number)),
        checkpoint=Checkpoint(),
        stop=Stop(patience=0),
        output=Output(),
    )
    place = f"gs://{bucket}/{MODELS}/{name}/RUN"
    result = Difference("result", f"files in the root of gs://{bucket}", place, "whole or not there, and never overwritten")
    renamed = (Difference(NEW_MODEL, said, name, "a name has a-z, 0-9 and -"),) if name != said else ()
    return Seed(wish, bucket, (*renamed, result, *DIFFERENT))


def named(said: str) -> str:
    """NEW_MODEL as a name of ours: lower case, `-` for the rest, at most 40 characters; `` when nothing is left."""
    tidy = re.sub(r"[^a-z0-9]+", "-", said.rpartition("/")[2].lower())
    return re.sub(r"^[^a-z]+", "", tidy)[:40].rstrip("-")


def _sft(number: Mapping[str, int]) -> dict[str, Any]:
    """SFTConfig's fields under today's names; group_by_length is train_sampling_strategy since transformers 5."""
    return {
        "per_device_train_batch_size": number["TRAIN_BATCH_SIZE"],
        "per_device_eval_batch_size": number["EVAL_BATCH_SIZE"],
        "gradient_accumulation_steps": number["GRADIENT_ACCUMULATION_STEPS"],
        "logging_steps": number["LOGGING_STEPS"],
        "optim": "paged_adamw_32bit",
        "weight_decay": 0.001,
        "max_grad_norm": 0.3,
        "lr_scheduler_type": "cosine",
        "gradient_checkpointing": True,
        "train_sampling_strategy": "group_by_length",
    }


def _number(environ: Mapping[str, str], name: str) -> int:
    said = environ.get(name, "").strip()
    least = 16 if name == "MAX_SEQ_LENGTH" else 1
    try:
        value = int(said) if said else NUMBERS[name]
    except ValueError:
        raise _bad(name, f"it must be a whole number, not {said[:60]!r}", f"set {name}, its default is {NUMBERS[name]}") from None
    if value < least and not (name == "DATASET_LIMIT" and value == _ALL):
        more = ", or -1 for all rows" if name == "DATASET_LIMIT" else ""
        raise _bad(name, f"it must be {least} or more{more}, not {value}", f"its default is {NUMBERS[name]}")
    return value


def _bad(name: str, what: str, advice: str) -> TuneFailed:
    return TuneFailed(Code.SETTINGS_INVALID, name, what, advice)
