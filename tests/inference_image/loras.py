"""LoRA adapters on the sample model: trained-looking ones of PEFT, and small ones to be broken. Knows no code under test."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.inference_image.checkpoints import MODEL, Stored, shard

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


STEM = "base_model.model.model.layers.0.self_attn.q_proj"


def halves(stem: str = STEM, rank: int = 4, into: int = 128, out: int = 128, value: float = 0.5) -> dict[str, Stored]:
    """lora_A and lora_B of one module."""

    def filled(*shape: int) -> Stored:
        return "F32", list(shape), struct.pack("<f", value) * (shape[0] * shape[1])

    return {f"{stem}.lora_A.weight": filled(rank, into), f"{stem}.lora_B.weight": filled(out, rank)}


def written(folder: Path, tensors: dict[str, Stored] | None = None, **config: Any) -> Path:
    """An adapter on the sample's first query projection."""
    folder.mkdir(parents=True)
    known = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": "google/gemma-3-1b-pt",
    }
    (folder / CONFIG).write_text(json.dumps({**known, **config}))
    (folder / WEIGHTS).write_bytes(shard(halves() if tensors is None else tensors))
    return folder


def base(dtype: str = "bfloat16") -> Any:
    """The sample in transformers' own hands."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=getattr(torch, dtype)).eval()


def make(folder: Path, seed: int, *, strength: float = 0.05, stored: str = "float32", **config: Any) -> Path:
    """A trained-looking adapter: every lora_B is random, so that answers differ from the base's and from other seeds'."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    wanted = {"r": 4, "lora_alpha": 8, "target_modules": ALL, **config}
    model = get_peft_model(base(), LoraConfig(**wanted))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=strength)
            if ".lora_" in name:
                parameter.data = parameter.data.to(getattr(torch, stored))
    model.save_pretrained(folder)
    return folder


def peft(folder: Path | None, dtype: str = "bfloat16") -> Any:
    """PEFT's own model; None: the base alone."""
    from peft import PeftModel

    return PeftModel.from_pretrained(base(dtype), folder).eval() if folder is not None else base(dtype)


def greedy(model: Any, ids: Sequence[int], tokens: int) -> list[int]:
    """What it answers."""
    import torch

    prompt = torch.tensor([list(ids)])
    mask = torch.ones_like(prompt)
    with torch.inference_mode():
        made = model.generate(input_ids=prompt, attention_mask=mask, max_new_tokens=tokens, do_sample=False, eos_token_id=[1, 5])
    return made[0, prompt.shape[1] :].tolist()
