"""Bases and adapters to be merged: the sample model in the layouts that a base may have, LoRA on it. Knows no merge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.inference_image import loras
from tests.inference_image.checkpoints import MODEL, Stored, edit_json, shard, tensors_of

LAYERS = "model.layers."


def text(folder: Path) -> Path:
    """As Gemma 3 1B, Gemma 2 and Gemma are: names of the text class, four shards."""
    shutil.copytree(MODEL, folder)
    return folder


def multimodal(folder: Path) -> Path:
    """As Gemma 3 4B and larger lie on the hub: the language model inside, a vision tower beside it, one shard of each."""
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    config = json.loads((MODEL / "config.json").read_text())
    edit_json(folder / "config.json", **dict.fromkeys(config))
    edit_json(folder / "config.json", model_type="gemma3", text_config=config, architectures=["Gemma3ForConditionalGeneration"])
    inner = {f"language_model.{name}": stored for name, stored in tensors(MODEL).items()}
    tower: dict[str, Stored] = {"vision_tower.vision_model.post_layernorm.weight": ("BF16", [64], bytes(range(128)))}
    files = {"model-00001-of-00002.safetensors": tower, "model-00002-of-00002.safetensors": inner}
    for name, inside in files.items():
        (folder / name).write_bytes(shard(inside, {"format": "pt"}))
    where = {key: name for name, inside in files.items() for key in inside}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": where}))
    return folder


def stored_as(folder: Path, dtype: str) -> Path:
    """The sample in one shard of another dtype: F16 or F32."""
    import torch

    kind = {"F16": torch.float16, "F32": torch.float32}[dtype]
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    made: dict[str, Stored] = {}
    for name, stored in tensors(MODEL).items():
        made[name] = (dtype, stored[1], values(stored).to(kind).numpy().tobytes())
    (folder / "model.safetensors").write_bytes(shard(made))
    return folder


def tensors(folder: Path) -> dict[str, Stored]:
    """All of a folder's weights."""
    return {name: one for path in sorted(folder.glob("*.safetensors")) for name, one in tensors_of(path.read_bytes()).items()}


def values(stored: Stored) -> Any:
    """As a float32 tensor."""
    import torch

    kind = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}[stored[0]]
    return torch.frombuffer(bytearray(stored[2]), dtype=kind).view(stored[1]).float()


def adapter(folder: Path, *, inside: str = "model.", seed: int = 0, targets: tuple[str, ...] = ("q_proj", "down_proj"),
            rank: int = 4, strength: float = 0.05, **config: Any) -> Path:  # fmt: skip
    """Random LoRA on the `targets` of the sample's first two layers; `inside`: what the trained class calls the text model."""
    import torch

    torch.manual_seed(seed)
    made: dict[str, Stored] = {}
    for name, (_, shape, _) in tensors(MODEL).items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in targets and not name.startswith("model.layers.2."):
            stem = f"base_model.model.{inside}{module.removeprefix('model.')}"
            for half, size in (("A", [rank, shape[1]]), ("B", [shape[0], rank])):
                made[f"{stem}.lora_{half}.weight"] = ("F32", size, (torch.randn(size) * strength).numpy().tobytes())
    return loras.written(folder, made, r=rank, target_modules=list(targets), **config)
