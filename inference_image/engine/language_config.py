"""Owns the settings of a text model that language.py computes, and which ones it does not. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from inference_image.fields import ROPES, TOKENS, value
from inference_image.shapes import layer_types

ACTIVATION: Final = "gelu_pytorch_tanh"
_SIZES: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim", "sliding_window",
    "max_position_embeddings",
)  # fmt: skip
# source of every default: the config class of transformers 5.17 to 5.23
_OTHERS: Final[Mapping[str, Any]] = {
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "tie_word_embeddings": True,
    "final_logit_softcapping": None,
}
_BASES: Final = {"full_attention": ("rope_theta", 1_000_000.0), "sliding_attention": ("rope_local_base_freq", 10_000.0)}
"""What rotates a kind of layer where its own settings don't say: the name of its base, and the base by default."""
_KNOWN: Final = frozenset(
    (*_SIZES, *_OTHERS, *ROPES, *TOKENS, *(name for name, _ in _BASES.values()), "num_hidden_layers", "layer_types",
     "sliding_window_pattern", "hidden_activation", "attn_logit_softcapping", "model_type")
)  # fmt: skip


@dataclass(frozen=True)
class Rope:
    """Rotary settings of a kind of layer. `factor`: what frequencies are divided by."""

    base: float
    factor: float


@dataclass(frozen=True)
class LanguageConfig:
    """Names are transformers', so that whoever asks a model for its config needs not know whose modules it has."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    sliding_window: int
    max_position_embeddings: int
    query_pre_attn_scalar: int
    rms_norm_eps: float
    attention_bias: bool
    tie_word_embeddings: bool
    final_logit_softcapping: float | None
    layer_types: tuple[str, ...]
    ropes: Mapping[str, Rope]
    hidden_activation: str = ACTIVATION
    attn_logit_softcapping: None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> LanguageConfig:
        """From text_config's result, for which unclaimed() is None."""
        given = {name: value(raw, name) for name in _SIZES} | {name: raw.get(name, other) for name, other in _OTHERS.items()}
        kinds = tuple(layer_types(raw))
        ropes = {kind: _rope(settings) for kind, settings in _rotary(raw).items() if kind in kinds}
        return cls(**given, layer_types=kinds, ropes=ropes)

    def smallest(self) -> LanguageConfig:
        """One layer of each kind, one head, the real head's width: what computed buffers depend on stays."""
        kinds = tuple(dict.fromkeys(self.layer_types))
        return replace(self, vocab_size=8, intermediate_size=1, num_attention_heads=1, num_key_value_heads=1, layer_types=kinds)


def unclaimed(raw: Mapping[str, Any]) -> str | None:
    """What of text_config's result language.py does not compute; None: all of it is known."""
    if new := sorted(raw.keys() - _KNOWN):
        return f"{new[0]} is new"
    if raw.get("hidden_activation", ACTIVATION) != ACTIVATION:
        return f"hidden_activation is {raw['hidden_activation']}"
    if raw.get("attn_logit_softcapping") is not None:
        return f"attn_logit_softcapping is {raw['attn_logit_softcapping']}"
    kinds = {str(one["rope_type"]) for one in _rotary(raw).values()} - {"default", "linear"}
    return f"rope_type is {min(kinds)}" if kinds else None


def _rotary(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{kind of layer: settings}, out of every spelling. `rope_scaling` is the older one, of full layers alone, and wins."""
    given, scaling = raw.get("rope_parameters") or {}, raw.get("rope_scaling") or {}
    made = {}
    for kind, (name, base) in _BASES.items():
        made[kind] = {"rope_type": "default", "rope_theta": raw.get(name, base), **(given.get(kind) or {})}
        if kind == "full_attention":
            made[kind] |= scaling
    return made


def _rope(settings: Mapping[str, Any]) -> Rope:
    return Rope(float(settings["rope_theta"]), float(settings["factor"]) if settings["rope_type"] == "linear" else 1.0)
