"""Owns what config.json says of a model's eyes: the vision tower's settings, the tensors it asks for. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference_image import contract
from inference_image.architecture import family, text_config
from inference_image.contract import Code, LoadFailed
from inference_image.shapes import EMBEDDING, expected
from inference_image.small_files import natural

TOWER: Final = "vision_tower."
PROJECTOR: Final = "multi_modal_projector."

# The defaults of transformers' config classes, 4.51 to 5.23: a checkpoint writes only what differs from them.
_DEFAULTS: Final = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "num_channels": 3,
    "image_size": 224, "patch_size": 16,
}  # fmt: skip
_TOKENS: Final = 256
_ACTIVATIONS: Final = ("gelu_pytorch_tanh", "gelu", "gelu_new", "gelu_fast", "quick_gelu", "silu", "relu")
_MOST_LAYERS: Final = 1024
_MOST: Final = 1 << 16


def is_vision(name: str) -> bool:
    """Is it a tensor of the eyes, by the name that serving gives it?"""
    return name.startswith((TOWER, PROJECTOR))


@dataclass(frozen=True)
class Vision:
    """`config` is what transformers' class for the tower takes; `tokens`: of a prompt for each image; `width`: of a feature."""

    config: Mapping[str, Any]
    tokens: int
    width: int

    @property
    def side(self) -> int:
        """Pixels of an image in both directions."""
        return int(self.config["image_size"])

    @property
    def patches(self) -> int:
        """What the tower looks at at once."""
        return int((self.side // self.config["patch_size"]) ** 2)

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.expected().values())

    def expected(self) -> dict[str, tuple[int, ...]]:
        """{name: shape} of every stored parameter of the tower and of what brings its features into the language model."""
        hidden, inner = self.config["hidden_size"], self.config["intermediate_size"]
        patch = self.config["patch_size"]
        made: dict[str, tuple[int, ...]] = {
            f"{PROJECTOR}mm_input_projection_weight": (hidden, self.width),
            f"{PROJECTOR}mm_soft_emb_norm.weight": (hidden,),
            f"{TOWER}embeddings.patch_embedding.weight": (hidden, self.config["num_channels"], patch, patch),
            f"{TOWER}embeddings.patch_embedding.bias": (hidden,),
            f"{TOWER}embeddings.position_embedding.weight": (self.patches, hidden),
            f"{TOWER}post_layernorm.weight": (hidden,),
            f"{TOWER}post_layernorm.bias": (hidden,),
        }
        layer = {f"self_attn.{name}_proj": (hidden, hidden) for name in ("q", "k", "v", "out")}
        layer |= {"mlp.fc1": (inner, hidden), "mlp.fc2": (hidden, inner)}
        for number in range(self.config["num_hidden_layers"]):
            start = f"{TOWER}encoder.layers.{number}."
            for name, shape in layer.items():
                made |= {f"{start}{name}.weight": shape, f"{start}{name}.bias": shape[:1]}
            for name in ("layer_norm1", "layer_norm2"):
                made |= {f"{start}{name}.weight": (hidden,), f"{start}{name}.bias": (hidden,)}
        return made


def vision(config: Mapping[str, Any]) -> Vision:
    """The eyes of the model that config.json describes.

    Raises LoadFailed: setting_invalid for a model without, config_invalid, and what text_config raises.
    """
    row, inner = family(config), config.get("vision_config")
    if row.sight is None or config["model_type"] in row.text_types:
        detail = f"images are asked for, and this model (model_type {config['model_type']!r}) reads text only"
        raise LoadFailed(Code.SETTING_INVALID, contract.ENV_IMAGES, detail)
    if not isinstance(inner, Mapping):
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"a {config['model_type']} config without a vision_config object")
    kind = inner.get("model_type", row.sight.tower_type)
    if kind != row.sight.tower_type:
        raise _bad("model_type", kind, row.sight.tower_type)
    made: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        made[name] = inner.get(name, default)
        if not (natural(made[name], _MOST) and made[name] > 0):
            raise _bad(name, made[name], "a positive integer")
    made["hidden_act"] = inner.get("hidden_act", _ACTIVATIONS[0])
    if made["hidden_act"] not in _ACTIVATIONS:
        raise _bad("hidden_act", made["hidden_act"], f"one of {', '.join(_ACTIVATIONS)}")
    epsilon = inner.get("layer_norm_eps", 1e-6)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise _bad("layer_norm_eps", epsilon, "a small positive number")
    made["layer_norm_eps"] = float(epsilon)
    _require_sizes(made)
    tokens = config.get("mm_tokens_per_image", _TOKENS)
    _require_tokens(tokens, made["image_size"] // made["patch_size"])
    return Vision({**made, "vision_use_head": False}, tokens, expected(text_config(config))[EMBEDDING][1])


def _require_sizes(made: Mapping[str, Any]) -> None:
    if made["num_hidden_layers"] > _MOST_LAYERS:
        raise _bad("num_hidden_layers", made["num_hidden_layers"], f"at most {_MOST_LAYERS}")
    if made["hidden_size"] % made["num_attention_heads"]:
        raise _bad("hidden_size", made["hidden_size"], f"a multiple of num_attention_heads ({made['num_attention_heads']})")
    if made["num_channels"] != 3:
        raise _bad("num_channels", made["num_channels"], "3: red, green and blue")


def _require_tokens(tokens: object, patches: int) -> None:
    """Features are patches, a square of them made one: as many squares must fit as there are tokens."""
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 < tokens <= patches * patches:
        raise _bad("mm_tokens_per_image", tokens, f"a positive integer up to {patches * patches}", "config.json")
    side = math.isqrt(tokens)
    if side * side != tokens or patches // (patches // side) != side:
        raise _bad("mm_tokens_per_image", tokens, f"a square that {patches} x {patches} patches can be pooled to", "config.json")


def _bad(name: str, value: object, wanted: str, where: str = "vision_config") -> LoadFailed:
    return LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{name} of {where} is {str(value)[:40]}, not {wanted}")
