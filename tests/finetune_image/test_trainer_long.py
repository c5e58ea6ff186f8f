"""Whole trainings: until the merged model knows its rows, in each precision, each family, each cut of a step."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from finetune_image.merge import merged, plan
from inference_image.chunks import open_source
from tests.finetune_image.tiny import ROWS, packed_apart, plain, run_of, save_at, seeing
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.small_families import saved

if TYPE_CHECKING:
    from finetune_image.trainer import Built

pytestmark = pytest.mark.long
QUICK: dict[str, Any] = {"lr": 1e-2, "max_length": 96, "max_steps": 20}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one order."""
    import torch

    torch.set_num_threads(1)


def built(model: Path, out: Path, *, dtype: str | None = None, micro: int | None = None, **said: Any) -> Built:
    from finetune_image.trainer import build

    said["train"] = {**QUICK, **said.get("train", {})}
    return build(run_of(**said), model, ROWS, ROWS, out, device="cpu", dtype=dtype, micro=micro)


def loss(made: Built, *, base: bool = False) -> float:
    found = made.held_out(base=base)
    assert found is not None
    return found


def whole(base: Path, adapter: Path, folder: Path) -> Path:
    """The merged model as it is published."""
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    made = plan(open_source(str(base), {}), adapter)
    for shard in made.shards:
        (folder / shard.name).write_bytes(b"".join(merged(made, shard)))
    index = base / "model.safetensors.index.json"
    if index.exists():
        shutil.copy(index, folder)
    return folder


@pytest.mark.parametrize(("eyes", "dtype"), [(False, "float32"), (False, "bfloat16"), (True, "float32")])
def test_the_merged_model_answers_its_rows_exactly(eyes: bool, dtype: str, tmp_path: Path) -> None:
    """120 steps on four rows: the held-out loss falls, and what is published knows them, read again by transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = seeing(tmp_path / "seeing") if eyes else MODEL
    made = built(base, tmp_path / "out", dtype=dtype, lora={"r": 32, "alpha": 32}, train={"max_steps": 120})
    before = loss(made)
    made.trainer.train()
    assert loss(made) < 0.85 * before
    wanted = [row["completion"] for row in ROWS]
    assert made.answers(ROWS) == wanted
    made.trainer.save_model(str(tmp_path / "adapter"))
    folder = whole(base, tmp_path / "adapter", tmp_path / "merged")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row, answer in zip(ROWS, wanted, strict=True):
        asked = [{"role": "user", "content": row["prompt"]}]
        ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        said = model.generate(**ids, do_sample=False, max_new_tokens=64)[0, ids["input_ids"].shape[1] :]
        assert tokenizer.decode(said) == f"{answer}<end_of_turn>"


@pytest.mark.parametrize("eyes", [False, True])
def test_a_base_in_four_bits_learns(eyes: bool, tmp_path: Path) -> None:
    """NF4 with double quantisation, on CPU: the loss falls, every number is one, and a resumed run ends with the same bits."""
    import torch

    base = seeing(tmp_path / "seeing") if eyes else MODEL
    made = built(base, tmp_path / "out", quantize="nf4")
    assert made.stats.nf4
    before = loss(made)
    made.trainer.add_callback(save_at(10))
    made.trainer.train()
    assert loss(made) < 0.85 * before
    losses = [row["loss"] for row in made.trainer.state.log_history if "loss" in row]
    assert len(losses) == 20
    assert all(torch.isfinite(torch.tensor(losses)))
    again = built(base, tmp_path / "again", quantize="nf4")
    loss(again)  # as before: on a processor with bfloat16 bitsandbytes packs the weights anew at the first look without gradients
    again.trainer.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-10"))
    assert all(torch.equal(one, other) for one, other in zip(trained(made), trained(again), strict=True))
    assert {one.dtype for one in trained(made)} == {torch.float32}


def trained(made: Built) -> list[Any]:
    return [one.detach() for one in made.trainer.model.parameters() if one.requires_grad]


@pytest.mark.parametrize("packing", [False, True])
def test_a_smaller_micro_batch_makes_the_same_steps(packing: bool, tmp_path: Path) -> None:
    """After memory ran out: as many steps, over the same rows, and the same weights but for the order of sums."""
    import torch

    told = {"packing": packing, "max_steps": 6, "max_length": 48, "batch_tokens": 200}
    found = []
    for micro in (None, 1):
        made = built(MODEL, tmp_path / "out", micro=micro, lora={"dropout": 0.0}, train=told)
        found.append((made, made.steps, made.stats.micro * made.stats.accumulation))
        made.trainer.train()
    (one, *same), (other, *others) = found
    assert same == others
    assert one.stats.micro > other.stats.micro == 1
    assert one.smaller is not None
    assert other.smaller is None
    far = max(float((a - b).abs().max()) for a, b in zip(trained(one), trained(other), strict=True))
    assert far < 1e-3
    moved = max(float(a.abs().max()) for a in trained(one))
    assert far < moved / 50
    assert torch.isfinite(torch.tensor(far))


def test_activation_checkpointing_changes_no_gradient(tmp_path: Path) -> None:
    """It is memory for time, nothing else."""
    import torch

    found = []
    for checkpointing in (False, True):
        made = built(
            MODEL, tmp_path / "out", lora={"dropout": 0.0}, train={"max_steps": 4, "gradient_checkpointing": checkpointing}
        )
        assert made.stats.checkpointing is checkpointing
        made.trainer.train()
        found.append(trained(made))
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("family", ["gemma", "gemma2"])
def test_the_older_families_are_trained_as_base_models(family: str, tmp_path: Path) -> None:
    """Plain text in, an answer that ends with the end of text: no chat template, no turn."""
    folder = saved(tmp_path / "model", family)
    (folder / "chat_template.jinja").unlink()
    made = built(folder, tmp_path / "out", train={"max_steps": 30})
    row = made.encoder.encode(ROWS[0])
    learned = [label for label in row.labels if label != -100]
    assert made.language.tokenizer.decode(learned) == f"{ROWS[0]['completion']}<eos>"
    before = loss(made)
    made.trainer.train()
    assert loss(made) < 0.85 * before
    assert packed_apart(made, ROWS) < 1e-5


def test_a_base_model_learns_plain_text(tmp_path: Path) -> None:
    """And answers it: the prompt as it is, the end of text after the answer."""
    made = built(plain(tmp_path / "plain"), tmp_path / "out", lora={"r": 32, "alpha": 32}, train={"max_steps": 120})
    made.trainer.train()
    assert made.answers(ROWS) == [row["completion"] for row in ROWS]


def test_every_token_is_learned_where_the_user_says_so(tmp_path: Path) -> None:
    """By the words that trl has for it, and its other ways to pack."""
    made = built(MODEL, tmp_path / "out", train={"assistant_only_loss": False, "packing_strategy": "wrapped", "max_steps": 2})
    assert made.stats.learned == made.stats.tokens
    made.trainer.train()
    assert json.dumps(asdict(made.stats))
