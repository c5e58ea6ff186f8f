"""A text model in transformers' hands and in ours, over the same memory: one is held to the other. Knows no test."""

from __future__ import annotations

from typing import Any

from inference_image import layout
from inference_image.engine import borrowed
from inference_image.engine import model as models
from inference_image.families import GEMMA3


def raw_of(config: Any) -> dict[str, Any]:
    """Our config as a checkpoint would say it."""
    said = {name: one for name, one in vars(config).items() if name != "ropes"}
    ropes = {
        kind: {"rope_theta": rope.base, **({"rope_type": "linear", "factor": rope.factor} if rope.factor != 1 else {})}
        for kind, rope in config.ropes.items()
    }
    layers = {"num_hidden_layers": len(config.layer_types), "layer_types": list(config.layer_types)}
    return layout.text_config({"model_type": "gemma3_text", **said, **layers, "rope_parameters": ropes})


def theirs(model: Any) -> Any:
    """Our model in transformers' modules. Linear layers are the very same, with the adapters that hang on them; int8 as well."""
    import torch

    from inference_image.engine.int8 import Int8Embedding, Int8Linear

    row, dtype, device = GEMMA3, model.dtype, model.device
    made = borrowed.build(row, borrowed.text_config(row, raw_of(model.config), dtype), dtype, device)
    plain = {name: one for name, one in model.state_dict().items() if one.dtype == dtype and "scale" not in name}
    made.load_state_dict(plain, strict=False, assign=True)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Int8Linear | Int8Embedding):
            made.set_submodule(name, module)
    return made.requires_grad_(requires_grad=False)


def ours(model: Any) -> Any:
    """A model of transformers in our modules, over the same memory."""
    raw = layout.text_config(model.config.to_dict())
    made = models.build(GEMMA3, raw, model.dtype, model.device)
    models.assign(made, {name: one for name, one in model.state_dict().items() if name in models.needed(made)})
    return made
