"""LoRA adapters on the sample model, made and answered by PEFT itself; knows nothing of what is tested."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.inference_image.checkpoints import MODEL, shard, tensors_of

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


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


def rename(folder: Path, change: Callable[[str], str]) -> Path:
    """The same tensors under other names."""
    path = folder / WEIGHTS
    path.write_bytes(shard({change(name): one for name, one in tensors_of(path.read_bytes()).items()}))
    return folder


def configure(folder: Path, **changes: Any) -> Path:
    """Other words in adapter_config.json."""
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder
