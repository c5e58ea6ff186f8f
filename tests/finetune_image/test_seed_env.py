"""The variables of the codelab's finetune.py: its defaults, its job's values, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_image.contract import Code, TuneFailed
from finetune_image.run import Wish, parse
from finetune_image.seed_env import DATASET, TEMPLATE, VARIABLES, is_seed, named, read
from finetune_image.sft_config import fixed

JOB = {
    "MODEL_NAME": "google/gemma-2b", "NEW_MODEL": "gemma-2b-sql-finetuned", "BUCKET_NAME": "demo-proj-codelab-finetuning-jobs",
    "LORA_R": "8", "LORA_ALPHA": "16", "GRADIENT_ACCUMULATION_STEPS": "2", "DATASET_LIMIT": "1000", "LOGGING_STEPS": "5",
}  # fmt: skip
"""source: the codelab's finetune-job.yaml.tmpl, step 5."""


def told(wish: Wish) -> dict[str, Any]:
    """The numbers that variables say, by the variable."""
    sft = wish.train.sft
    return {
        "MODEL_NAME": wish.model,
        "NEW_MODEL": wish.name,
        "LORA_R": wish.lora.r,
        "LORA_ALPHA": wish.lora.alpha,
        "TRAIN_BATCH_SIZE": sft["per_device_train_batch_size"],
        "EVAL_BATCH_SIZE": sft["per_device_eval_batch_size"],
        "GRADIENT_ACCUMULATION_STEPS": sft["gradient_accumulation_steps"],
        "DATASET_LIMIT": wish.data.limit,
        "LOGGING_STEPS": sft["logging_steps"],
        "MAX_SEQ_LENGTH": wish.train.max_length,
    }


def test_the_scripts_defaults() -> None:
    """A bucket alone gives every default of finetune.py."""
    assert told(read({"BUCKET_NAME": "b"}).wish) == {
        "MODEL_NAME": "google/gemma-2b", "NEW_MODEL": "gemma-2b-sql", "LORA_R": 4, "LORA_ALPHA": 8, "TRAIN_BATCH_SIZE": 1,
        "EVAL_BATCH_SIZE": 2, "GRADIENT_ACCUMULATION_STEPS": 1, "DATASET_LIMIT": 5000, "LOGGING_STEPS": 50, "MAX_SEQ_LENGTH": 512,
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in VARIABLES if name not in ("BUCKET_NAME", "MODEL_NAME", "NEW_MODEL")])
def test_every_number_is_heard(name: str) -> None:
    """Each variable alone changes its one setting."""
    plain, other = told(read({"BUCKET_NAME": "b"}).wish), told(read({"BUCKET_NAME": "b", name: "37"}).wish)
    assert {key: value for key, value in other.items() if plain[key] != value} == {name: 37}


def test_the_codelabs_job() -> None:
    """Its data, its template to the letter, its constants under today's names; every row is trained on, as there."""
    seed = read(JOB)
    wish = seed.wish
    assert (seed.bucket, wish.name, wish.lora.r, wish.lora.alpha, wish.lora.dropout) == (
        JOB["BUCKET_NAME"], "gemma-2b-sql-finetuned", 8, 16, 0.1,
    )  # fmt: skip
    data = wish.data
    assert (data.train, data.limit, data.shuffle_seed, data.eval) == (DATASET, 1000, 42, 0.0)
    assert (data.format, data.prompt, data.completion) == ("template", TEMPLATE, None)
    assert (wish.quantize, wish.lora.target, wish.train.lr, wish.train.warmup, wish.train.packing) == (
        "nf4", "query-value", 2e-4, 0.03, False,
    )  # fmt: skip
    assert wish.train.sft == {
        "per_device_train_batch_size": 1, "per_device_eval_batch_size": 2, "gradient_accumulation_steps": 2, "logging_steps": 5,
        "optim": "paged_adamw_32bit", "weight_decay": 0.001, "max_grad_norm": 0.3, "lr_scheduler_type": "cosine",
        "gradient_checkpointing": True, "train_sampling_strategy": "group_by_length",
    }  # fmt: skip


def test_it_is_a_wish_like_any_other() -> None:
    """Its document is one that finetune.yaml could hold: every name is known and legal."""
    wish = read(JOB).wish
    assert parse(wish.document()) == wish


def test_the_trainer_keeps_the_two_numbers_of_a_batch() -> None:
    """TRAIN_BATCH_SIZE sequences at a time, GRADIENT_ACCUMULATION_STEPS times a step, whatever batch_tokens would give."""
    cut = fixed(read({**JOB, "TRAIN_BATCH_SIZE": "3"}).wish)
    assert cut is not None
    assert (cut.micro, cut.accumulation) == (3, 2)


def test_all_rows() -> None:
    """-1, as in the script."""
    assert read({"BUCKET_NAME": "b", "DATASET_LIMIT": "-1"}).wish.data.limit is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BUCKET_NAME", "YOUR_BUCKET_NAME", "must name a bucket"),
        ("BUCKET_NAME", "b/folder", "must name a bucket"),
        ("LORA_R", "eight", "whole number, not 'eight'"),
        ("LORA_R", "0", "1 or more"),
        ("DATASET_LIMIT", "-2", "or -1 for all rows"),
        ("MAX_SEQ_LENGTH", "8", "16 or more"),
        ("NEW_MODEL", "123", "no letter"),
    ],
)
def test_what_can_not_be(name: str, value: str, words: str) -> None:
    """Named by its variable."""
    with pytest.raises(TuneFailed) as caught:
        read({"BUCKET_NAME": "b", name: value})
    assert (caught.value.failure.code, caught.value.failure.where) == (Code.SETTINGS_INVALID, name)
    assert words in caught.value.failure.detail


def test_a_name_that_is_none_of_ours_is_made_one_and_said() -> None:
    """The script took any text for a folder's name."""
    seed = read({"BUCKET_NAME": "gs://b/", "NEW_MODEL": "me/Gemma 2B_sql"})
    assert (seed.wish.name, seed.bucket) == ("gemma-2b-sql", "b")
    assert str(seed.differences[0]) == "NEW_MODEL: gemma-2b-sql, not me/Gemma 2B_sql: a name has a-z, 0-9 and -"
    assert len(named("x" * 80)) == 40


def test_whether_it_is_asked_for() -> None:
    """The script can't do without its bucket; nothing else uses that name."""
    assert is_seed(JOB)
    assert not is_seed({"MODEL_NAME": "a/b"})
