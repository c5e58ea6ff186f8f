"""Owns which settings of a config.json each family's language model has, and what may stand in them. Standard library only.

All else of a config is for training, for pictures or of other versions, and reaches no code of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.families import FAMILIES, GEMMA3
from inference_image.small_files import natural

LARGEST_SIZE: Final = 1 << 24
TOKENS: Final = ("eos_token_id", "bos_token_id", "pad_token_id")
ROPES: Final = ("rope_scaling", "rope_parameters")
LAYER_TYPES: Final = ("sliding_attention", "full_attention")
ACTIVATIONS: Final = ("gelu_pytorch_tanh", "gelu", "gelu_new", "gelu_fast", "silu", "relu")


@dataclass(frozen=True)
class Fields:
    """Names by what may stand there. Sizes have transformers' own defaults: checkpoints write only what differs from them."""

    sizes: Mapping[str, int]
    naturals: tuple[str, ...] = ()
    """Positive integers beside the sizes."""
    counts: tuple[str, ...] = ()
    """Integers that may be 0."""
    optional: tuple[str, ...] = ()
    """Positive integers, or null."""
    positives: tuple[str, ...] = ()
    softcaps: tuple[str, ...] = ()
    """Positive numbers, or null."""
    switches: tuple[str, ...] = ("attention_bias", "tie_word_embeddings")
    activation: str = "hidden_activation"
    own: tuple[str, ...] = ()
    """What a function of the family checks."""
    ropes_by_layer: bool = True
    """rope_parameters has one set for each type of layer; else it is one set."""
    ropes: tuple[str, ...] = ("default", "linear")
    rope_numbers: tuple[str, ...] = ("factor", "rope_theta")
    whole_heads: bool = True
    """The width of the model must be a multiple of the number of heads."""
    layered: bool = True
    """layer_types names the attention of each layer."""
    first_full: int = 0
    """Every how many layers attention is full where the config doesn't say; 0: in all."""
    cap: float | None = None
    """attn_logit_softcapping where the config doesn't say."""
    longest: int = 131_072
    window: int = 4096

    @property
    def names(self) -> tuple[str, ...]:
        layered = ("layer_types",) if self.layered else ()
        return (
            *self.sizes, *self.naturals, *self.counts, *self.optional, *self.positives, *self.softcaps, *self.switches,
            self.activation, *self.own, *ROPES, *layered, *TOKENS,
        )  # fmt: skip


def _sizes(vocabulary: int, hidden: int, inner: int, layers: int, heads: int, keys: int) -> Mapping[str, int]:
    return {
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": keys, "head_dim": 256,
    }  # fmt: skip


_BOTH_CAPS: Final = ("attn_logit_softcapping", "final_logit_softcapping")
_LAYERED: Final = ("rms_norm_eps", "rope_theta", "rope_local_base_freq")
_FLAT: Final = ("rms_norm_eps", "rope_theta")
_EACH_INPUT: Final = ("vocab_size_per_layer_input",)

# source of every default: the config classes of transformers 5.17 to 5.23
FIELDS: Final[Mapping[str, Fields]] = {
    "gemma3": Fields(
        _sizes(262208, 2304, 9216, 26, 8, 4),
        naturals=("max_position_embeddings", "query_pre_attn_scalar", "sliding_window", "sliding_window_pattern"),
        positives=_LAYERED,
        softcaps=_BOTH_CAPS,
        first_full=6,
    ),
    "gemma": Fields(
        _sizes(256000, 3072, 24576, 28, 16, 16),
        naturals=("max_position_embeddings",),
        positives=_FLAT,
        activation="hidden_act",
        ropes_by_layer=False,
        whole_heads=False,
        layered=False,
        longest=8192,
    ),
    "gemma2": Fields(
        _sizes(256000, 2304, 9216, 26, 8, 4),
        naturals=("max_position_embeddings", "query_pre_attn_scalar", "sliding_window"),
        positives=_FLAT,
        softcaps=_BOTH_CAPS,
        ropes_by_layer=False,
        first_full=2,
        cap=50.0,
        longest=8192,
    ),
    "gemma3n": Fields(
        {name: size for name, size in _sizes(262400, 2048, 0, 35, 8, 2).items() if name != "intermediate_size"},
        naturals=("max_position_embeddings", "sliding_window", "altup_num_inputs", "laurel_rank",
                  "hidden_size_per_layer_input", *_EACH_INPUT),
        counts=("altup_active_idx", "num_kv_shared_layers"),
        positives=(*_LAYERED, "altup_coef_clip", "final_logit_softcapping"),
        switches=("attention_bias", "tie_word_embeddings", "altup_correct_scale"),
        own=("intermediate_size", "activation_sparsity_pattern"),
        first_full=5,
        longest=32_768,
        window=512,
    ),
    "gemma4": Fields(
        _sizes(262144, 2304, 9216, 30, 8, 4),
        naturals=("max_position_embeddings", "sliding_window", *_EACH_INPUT),
        counts=("hidden_size_per_layer_input", "num_kv_shared_layers"),
        optional=("num_experts", "top_k_experts", "moe_intermediate_size", "num_global_key_value_heads"),
        positives=("rms_norm_eps",),
        softcaps=("final_logit_softcapping",),
        switches=("attention_bias", "tie_word_embeddings", "attention_k_eq_v", "enable_moe_block", "use_double_wide_mlp"),
        own=("global_head_dim", "per_layer_config"),
        ropes=("default", "linear", "proportional"),
        rope_numbers=("factor", "rope_theta", "partial_rotary_factor"),
        whole_heads=False,
        first_full=6,
        window=512,
    ),
}  # fmt: skip
"""By the key of a family that is served."""


def bad(name: str, value: object, wanted: str) -> LoadFailed:
    """The refusal of one value."""
    return LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{name} is {str(value)[:40]}, not {wanted}")


def is_size(value: object) -> bool:
    return natural(value, LARGEST_SIZE) and value != 0


def is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e30


def fields_of(config: Mapping[str, Any]) -> Fields:
    """The fields of text_config's result, which names its model_type; without one it is Gemma 3's."""
    kind = config.get("model_type", GEMMA3.text_types[0])
    return FIELDS[next(row.key for row in FAMILIES if kind in row.text_types)]


def value(config: Mapping[str, Any], name: str) -> int:
    """A whole number of text_config's result, or what the family has where it says nothing."""
    fields = fields_of(config)
    others = {"max_position_embeddings": fields.longest, "sliding_window": fields.window}
    return int(config.get(name, fields.sizes.get(name, others.get(name, 0))))


def capped(config: Mapping[str, Any]) -> bool:
    """Does the model cap its attention scores?"""
    return bool(config.get("attn_logit_softcapping", fields_of(config).cap))
