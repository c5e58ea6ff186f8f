"""Small models for tests of the fine-tune, made of the sample model: one with eyes, a base model. Imports transformers late."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_image.run import File, Run, parse
from tests.inference_image.checkpoints import MODEL

if TYPE_CHECKING:
    from finetune_image.trainer import Built

ASKED = (("name", 34), ("age", 7), ("city", 12), ("price", 3))
ROWS: list[dict[str, Any]] = [
    {"prompt": f"Give the {column} of singer {number}", "completion": f"SELECT {column} FROM singer WHERE name = {number}"}
    for column, number in ASKED
]


MIXED = [
    *ROWS,
    {"messages": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1, 2"},
                  {"role": "user", "content": "And?"}, {"role": "assistant", "content": "3, 4"}]},
    {"text": "I like coffee."},
    {"prompt": "words " * 100, "completion": "never seen"},
    {"prompt": "Count to five.", "completion": "1, 2, 3, 4, 5 " * 12},
]  # fmt: skip
LEARNED = {
    *(f"{row['completion']}<end_of_turn>" for row in ROWS), "1, 2<end_of_turn>", "3, 4<end_of_turn>", "I like coffee.<eos>",
}  # fmt: skip


def run_of(**said: Any) -> Run:
    """A run's document; `said`: as in finetune.yaml."""
    return Run("ab12", "cd34", parse(said), "bucket", File("rows.jsonl", "00"))


def seeing(folder: Path) -> Path:
    """The sample model as the language model of a Gemma 3 with eyes, its keys as the hub has them."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    folder.mkdir(parents=True)
    config = json.loads((MODEL / "config.json").read_text())
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56,
              "patch_size": 14, "vision_use_head": False}  # fmt: skip
    torch.manual_seed(0)
    marks = {"image_token_index": 1021, "boi_token_index": 1022, "eoi_token_index": 1023}
    model = Gemma3ForConditionalGeneration(Gemma3Config(text_config=config, vision_config=vision, mm_tokens_per_image=4, **marks))
    tensors = {
        name.replace("model.vision_tower.", "vision_tower.vision_model.").replace("model.multi_modal", "multi_modal"): one
        for name, one in model.state_dict().items()
        if "language_model" not in name and "lm_head" not in name
    }
    for shard in sorted(MODEL.glob("*.safetensors")):
        tensors |= {f"language_model.{name}": one for name, one in load_file(shard).items()}
    stored = {name: one.to(torch.bfloat16).contiguous() for name, one in tensors.items()}
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    told = model.config.to_dict() | {"architectures": ["Gemma3ForConditionalGeneration"], "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(told, default=str))
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(MODEL / name, folder)
    return folder


def plain(folder: Path) -> Path:
    """The sample model without its chat template: a base model."""
    shutil.copytree(MODEL, folder)
    (folder / "chat_template.jinja").unlink()
    return folder


def packed_apart(made: Built, given: Iterable[dict[str, Any]]) -> float:
    """The largest difference between logits of rows packed by trl's collator and of the same alone, beside the largest logit."""
    import torch

    rows = [made.encoder.encode(row).ids for row in given]
    whole = [token for row in rows for token in row]
    packed = {"input_ids": whole, "labels": whole, "seq_lengths": [len(one) for one in rows]}
    batch = made.trainer.data_collator([packed])
    with torch.no_grad():
        made.trainer.model.eval()
        together = made.trainer.model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits[0]
        alone = torch.cat([made.trainer.model(input_ids=torch.tensor([one])).logits[0] for one in rows])
    return float((together - alone).abs().max() / alone.abs().max().clamp(min=1))


def weights(made: Built) -> str:
    """A hash of the adapter."""
    found = hashlib.sha256()
    for name, one in sorted(made.trainer.model.named_parameters()):
        if one.requires_grad:
            found.update(name.encode() + one.detach().numpy().tobytes())
    return found.hexdigest()


def save_at(step: int) -> Any:
    """A callback that asks for a checkpoint, as the worker's does."""
    from transformers import TrainerCallback

    class Save(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_save = state.global_step == step

    return Save()


class Meter:
    """Memory that says: 99 % for the first with activations kept, then 50, 60 and 80 % with them computed twice."""

    total = 10**9
    began = 0

    def begin(self) -> None:
        self.began += 1

    @property
    def peak(self) -> int:
        return int(self.total * (0.99, 0.5, 0.6, 0.8)[self.began - 1])
