"""The wishes of a fine-tune and the document of a run: what is meant, what is refused, what makes another run."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_image.contract import Code, TuneFailed
from finetune_image.run import File, Run, parse
from finetune_image.sft_config import named

SAID = {"data": {"train": "a.jsonl", "eval": 0}, "train": {"lr": 1e-3, "optim": "adamw_torch"}, "output": {"shard": 1 << 30}}


def test_a_wish_survives_its_document() -> None:
    """SFTConfig's own fields too."""
    wish = parse(SAID)
    assert wish.train.sft == {"optim": "adamw_torch"}
    assert parse(wish.document()) == wish


def test_a_run_survives_its_document() -> None:
    """Pins and files included."""
    run = Run("ab", "cd", parse(SAID), "gs://b", File("gs://b/x", "00", 3), base="ee", pins={"config.json": "7"})
    assert Run.parse(run.text()) == run


def test_a_power_of_ten_is_a_number() -> None:
    """YAML's most common reader takes 2e-4 for a word."""
    wish = parse({"train": {"lr": "2e-4", "weight_decay": "1e-2", "optim_args": "1e-2"}})
    assert (wish.train.lr, wish.train.sft) == (2e-4, {"weight_decay": 0.01, "optim_args": "1e-2"})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other"}', '{"schema": "gemmactl/finetune-run.v1", "x": 1}'])
def test_what_is_no_run_is_refused(text: str) -> None:
    """With a code, whatever lies there."""
    with pytest.raises(TuneFailed) as caught:
        Run.parse(text)
    assert caught.value.failure.code is Code.RUN_INVALID


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"trian": {}}, "trian: there is no such setting; did you mean train?"),
        ({"train": {"fp16": True}}, "train.fp16: Gemma overflows in float16"),
        ({"train": {"optm": "x"}}, "train.optm: there is no such setting; did you mean optim?"),
        ({"train": {"weight_decay": "much"}}, "train.weight_decay: it must be float, not 'much'"),
        ({"train": {"max_steps": 1.5}}, "train.max_steps: it must be int, not 1.5"),
        ({"train": {"gradient_checkpointing": 1}}, "train.gradient_checkpointing: it must be bool, not 1"),
        ({"train": {"neftune_noise_alpha": True}}, "train.neftune_noise_alpha: it must be float or none, not True"),
        ({"train": {"optim": "adam_8bit"}}, "train.optim: it can't be 'adam_8bit'; did you mean adamw_8bit"),
        ({"train": {"chat_template_path": "x"}}, "train.chat_template_path: the model's own chat template"),
        ({"train": {"learning_rate": 1}}, "train.learning_rate: it is called train.lr here"),
        ({"lora": {"r": "8"}}, "lora.r: it must be int"),
        ({"lora": {"r": True}}, "lora.r: it must be int"),
        ({"lora": 3}, "lora: it must be a mapping"),
        ({"name": "Big Name"}, "name: it must be 1 to 40"),
        ({"data": {"eval": 1.5}}, "data.eval: it must be a share"),
        ({"output": {"merged": False, "adapter": False}}, "output: it must be merged"),
        ({"train": {"gradient_accumulation_steps": 0}}, "train.gradient_accumulation_steps: it must be a number above 0"),
        ({"train": {"logging_steps": 0}}, "train.logging_steps: it must be a number above 0"),
        ({"train": {"epochs": float("inf")}}, "train.epochs: it must be a number"),
        ({"train": {"seed": -1}}, "train.seed: it must be 0 to"),
        ({"data": {"shuffle_seed": -1}}, "data.shuffle_seed: it must be 0 or above"),
    ],
)
def test_what_no_run_can_have(said: dict[str, Any], words: str) -> None:
    """The place, and what was meant."""
    with pytest.raises(TuneFailed) as caught:
        parse(said)
    assert f"finetune.yaml: {words}" in str(caught.value)


def test_the_identity_is_of_what_decides_the_weights() -> None:
    """Money, names and places make no other run; data, base, libraries and every setting of the training do."""
    wish = parse(SAID)
    same = wish.identity("base", "data", "libs")
    for other in (
        {**SAID, "name": "other"},
        {**SAID, "stop": {"max_usd": 1}},
        {**SAID, "checkpoint": {"minutes": 1}},
        {**SAID, "output": {"adapter": False}},
        {**SAID, "data": {**SAID["data"], "train": "copy-of-a.jsonl"}},  # type: ignore[dict-item]
    ):
        assert parse(other).identity("base", "data", "libs") == same, other
    for other in ({**SAID, "lora": {"r": 8}}, {**SAID, "train": {"lr": 1e-3}}, {**SAID, "quantize": "nf4"}):
        assert parse(other).identity("base", "data", "libs") != same, other
    assert len({same, *(wish.identity(*at) for at in (("x", "data", "libs"), ("base", "x", "libs"), ("base", "data", "x")))}) == 4


def test_a_field_goes_by_the_name_that_the_library_knows() -> None:
    """Transformers 5.17 has activation checkpointing by its former name alone, and no setting of it is lost."""
    given = {"seed": 1, "activation_checkpointing": True, "gradient_checkpointing": None, "activation_checkpointing_kwargs": {}}
    old = {"seed", "gradient_checkpointing", "gradient_checkpointing_kwargs"}
    assert named(given, old) == {"seed": 1, "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {}}
    assert named(given, old | set(given)) == given
