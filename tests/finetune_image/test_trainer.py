"""The trainer on the sample model and its twin with eyes: what is trained, that it comes back bit for bit, that trl hears all.

The one file of `make test` that imports trl, for several seconds: everything here shares one process and few models.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from finetune_image.contract import Code, TuneFailed
from finetune_image.micro import Cut
from finetune_image.run import OWNED, parse, sft_fields
from finetune_image.sft_fields import sft_types
from inference_image import layout, lora
from inference_image.families import GEMMA3
from tests.finetune_image.sft_values import other_values, plain_value
from tests.finetune_image.tiny import LEARNED, MIXED, ROWS, Meter, packed_apart, run_of, save_at, seeing, weights
from tests.inference_image.checkpoints import MODEL, copy_of_sample, edit_json, rewrite

if TYPE_CHECKING:
    from finetune_image.trainer import Built

STEPS = 6


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainer")


def built(model: Path, out: Path, **said: Any) -> Built:
    """Packed, with dropout, three sequences a step."""
    from finetune_image.trainer import build

    train = {"lr": 1e-2, "max_length": 96, "batch_tokens": 192, "max_steps": STEPS, **said.pop("train", {})}
    return build(run_of(train=train, **said), model, MIXED, ROWS[:2], out, device="cpu", callbacks=said.pop("callbacks", ()))


@pytest.fixture(scope="module")
def tuned(scratch: Path) -> Built:
    """Trained to its end, saved at half."""
    from finetune_image.trainer import build

    train = {"lr": 1e-2, "max_length": 96, "batch_tokens": 192, "max_steps": STEPS}
    made = build(run_of(train=train), MODEL, MIXED, ROWS[:2], scratch / "whole", device="cpu", callbacks=[save_at(STEPS // 2)])
    made.trainer.train()
    return made


def test_rows_are_counted_and_learned_as_they_should(tuned: Built) -> None:
    """After trl's packing: the answers with their ends and nothing else, what is too long cut or left out."""
    stats = tuned.stats
    assert (stats.rows, stats.used, stats.dropped, stats.truncated) == (8, 7, 1, 1)
    rows = tuned.trainer.train_dataset
    assert stats.sequences == len(rows) < stats.used
    assert all(len(row["input_ids"]) == len(row["labels"]) <= 96 for row in rows)
    assert sum(len(row["input_ids"]) for row in rows) == stats.tokens
    learned: list[str] = []
    for row in rows:
        stretch: list[int] = []
        for token, label in zip(row["input_ids"], [*row["labels"][1:], -100], strict=True):
            del token
            if label != -100:
                stretch.append(label)
            elif stretch:
                learned.append(tuned.language.tokenizer.decode(stretch))
                stretch = []
    long = next(one for one in learned if one.startswith("1, 2, 3"))
    assert long + ("1, 2, 3, 4, 5 " * 12)[len(long) :] == "1, 2, 3, 4, 5 " * 12
    assert {*learned} - {long} == LEARNED


def test_it_learns_and_the_base_stays(tuned: Built) -> None:
    """The held-out loss falls; without the adapter the model is what it was."""
    before = tuned.held_out(base=True)
    after = tuned.held_out()
    assert before is not None
    assert after is not None
    assert after < 0.85 * before
    assert tuned.answers(ROWS[:1], 8, base=True) != tuned.answers(ROWS[:1], 8)
    assert tuned.trainer.model.training


def test_a_run_that_was_interrupted_ends_with_the_same_weights(tuned: Built, scratch: Path) -> None:
    """Bit for bit, with packing and dropout, and with evaluations in between that the other never made."""
    other = built(MODEL, scratch / "resumed")
    other.held_out()
    other.trainer.train(resume_from_checkpoint=str(scratch / "whole" / f"checkpoint-{STEPS // 2}"))
    assert other.trainer.state.global_step == STEPS
    assert weights(other) == weights(tuned)


def test_the_same_seed_gives_the_same_adapter(scratch: Path) -> None:
    """And another seed another; evaluating and answering in between changes nothing."""
    from transformers import TrainerCallback

    class Look(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            one.held_out()
            one.answers(ROWS[:1], 2, base=True)

    found = []
    for seed in (1, 1, 2):
        one = built(MODEL, scratch / "seed", train={"max_steps": 2, "seed": seed})
        if not found:
            one.trainer.add_callback(Look())
        one.trainer.train()
        found.append(weights(one))
    assert found[0] == found[1] != found[2]


@pytest.mark.usefixtures("tuned")
def test_the_adapter_is_one_that_the_server_loads(scratch: Path) -> None:
    """Files for every user, the base by its name, every matrix of it known to the loader."""
    from finetune_image.checkpoints import ADAPTER
    from finetune_image.results import tidy

    saved, folder = scratch / "whole" / f"checkpoint-{STEPS // 2}", scratch / "adapter"
    folder.mkdir()
    for name in ADAPTER:
        shutil.copy(saved / name, folder)
    tidy(folder, run_of())
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "google/gemma-3-4b-it"
    config = lora.Config.parse((folder / "adapter_config.json").read_bytes())
    data = (folder / "adapter_model.safetensors").read_bytes()
    needed = layout.expected(json.loads((MODEL / "config.json").read_text()))
    pairs = lora.require(config, layout.parse_header(data, "adapter_model.safetensors", len(data)), needed, GEMMA3)
    assert len(pairs) == 3 * 7


def test_only_the_language_model_of_one_that_sees_is_trained(scratch: Path) -> None:
    """No trained tensor in the tower or the projector, whatever the hub calls its keys; the targets are what was asked for."""
    made = built(seeing(scratch / "seeing"), scratch / "eyes", lora={"target": "attention"}, train={"max_steps": 1})
    made.trainer.train()
    trained = [name for name, one in made.trainer.model.named_parameters() if one.requires_grad]
    assert trained
    assert not [name for name in trained if "vision" in name or "multi_modal" in name or "language_model" not in name]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert packed_apart(made, (*ROWS, MIXED[4])) < 1e-5


def test_packed_rows_do_not_see_each_other(tuned: Built) -> None:
    """With sdpa, over windows and whole attention: the same numbers as one by one: the locked transformers' promise."""
    assert packed_apart(tuned, (*ROWS, MIXED[4])) < 1e-5


def test_weights_that_are_missing_are_never_made_up(scratch: Path) -> None:
    """Transformers would fill them with random numbers; so it does for the wrong class, where nothing of the file fits."""
    from transformers import Gemma3ForCausalLM

    from finetune_image.language_model import read, require_whole

    folder = copy_of_sample(scratch / "broken")
    rewrite(folder, lambda tensors: tensors.pop(next(name for name in tensors if "proj" in name)) and None)
    with pytest.raises(TuneFailed) as caught:
        read(parse({}), folder, device="cpu", dtype="float32")
    assert caught.value.failure.code is Code.MODEL_INVALID
    assert "1 weights are missing" in str(caught.value)
    _, found = Gemma3ForCausalLM.from_pretrained(scratch / "seeing", output_loading_info=True)
    with pytest.raises(TuneFailed):
        require_whole(found)


def test_every_field_of_trls_reaches_it(scratch: Path) -> None:
    """By its own name and with the value given; the table of fields and types is the pinned library's."""
    from trl import SFTConfig

    from finetune_image.sft_config import config

    assert set(sft_fields()) == set(sft_types()) == {field.name for field in dataclasses.fields(SFTConfig)}
    assert set(OWNED) <= set(sft_fields())
    given = other_values()
    wish = parse({"train": given})
    assert wish.train.sft == given
    made = config(wish, scratch, Cut(3, 3, checkpointing=True), cpu=True, mixed=False)
    missed = {
        name: getattr(made, name) for name, value in given.items() if plain_value(getattr(made, name)) != plain_value(value)
    }
    assert not missed


def test_a_value_that_trl_refuses_is_told_in_its_words(scratch: Path) -> None:
    """What only the library knows of."""
    from finetune_image.sft_config import config

    wish = parse({"train": {"tf32": True}})
    with pytest.raises(TuneFailed) as caught:
        config(wish, scratch, Cut(1, 1), cpu=True, mixed=False)
    assert caught.value.failure.code is Code.SETTINGS_INVALID
    assert "tf32" in str(caught.value)


def test_a_run_of_rows_that_are_all_too_long_is_refused(scratch: Path) -> None:
    """With the setting that helps."""
    from finetune_image.trainer import build

    with pytest.raises(TuneFailed) as caught:
        build(run_of(train={"max_length": 16}), MODEL, ROWS, [], scratch / "short", device="cpu")
    assert caught.value.failure.where == "train.max_length"


def test_a_step_is_measured_without_a_trace(scratch: Path) -> None:
    """What a GPU is asked before training: whole steps, with activations kept and computed twice; the model is as before."""
    import torch

    from finetune_image import micro
    from finetune_image.trainer import fused

    made = built(MODEL, scratch / "probed")
    model, before = made.trainer.model, weights(made)
    forward = model.get_base_model().forward
    memory = Meter()
    with fused(model):
        limit, measure = micro.probe(model, 64, memory, mixed=True)
        assert 0 < limit < memory.total
        found = micro.fitting(4, 4, limit, measure)
    assert found == Cut(4, 1, checkpointing=True)
    assert memory.began == 4
    assert weights(made) == before
    assert all(one.grad is None for one in model.parameters())
    assert not model.is_gradient_checkpointing
    assert model.get_base_model().forward == forward
    with torch.no_grad():
        assert model(input_ids=torch.tensor([[2, 8]])).logits.shape == (1, 2, 1024)


def test_kernels_that_do_not_run_are_replaced() -> None:
    """By trl's own way without them: the reason is told, the loss is the same; a CPU is asked nothing."""
    from trl.kernels import chunked_logprob

    from finetune_image.kernels import settle, small_loss

    assert settle("cpu") == ""
    assert small_loss("cpu") == pytest.approx(8 * math.log(512), abs=0.01)
    tried: list[bool] = []

    def trial(device: str) -> float:
        tried.append(chunked_logprob._TRITON_AVAILABLE)
        if len(tried) == 1:
            raise RuntimeError("Failed to find C compiler")
        return 0.0

    kept = chunked_logprob._TRITON_AVAILABLE
    chunked_logprob._TRITON_AVAILABLE = True
    try:
        assert settle("cuda:0", trial) == "RuntimeError: Failed to find C compiler"
        assert not chunked_logprob._use_triton(torch_device("cuda:0"))
    finally:
        chunked_logprob._TRITON_AVAILABLE = kept
    assert tried == [True, False]


def torch_device(name: str) -> Any:
    import torch

    return torch.device(name)


def test_what_the_model_does_not_know_is_refused(scratch: Path) -> None:
    """A token beyond its vocabulary, a row beyond its places: either would fail in a kernel, or be learned wrong."""
    from finetune_image.trainer import build

    folder = copy_of_sample(scratch / "small")
    edit_json(folder / "config.json", max_position_embeddings=32)
    with pytest.raises(
        TuneFailed, match=r"settings_invalid: train.max_length: a row has 42 tokens, and the model knows 32 places"
    ):
        build(run_of(), folder, ROWS, [], scratch / "places", device="cpu")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    more = {**tokenizer["added_tokens"][0], "id": 1024, "content": "<image_soft_token>"}
    edit_json(folder / "tokenizer.json", added_tokens=[*tokenizer["added_tokens"], more])
    told = [{"prompt": "Look: <image_soft_token>", "completion": "No"}]
    with pytest.raises(TuneFailed, match=r"data_invalid: data.train: the tokenizer makes <image_soft_token> of a text"):
        build(run_of(), folder, told, [], scratch / "words", device="cpu")
