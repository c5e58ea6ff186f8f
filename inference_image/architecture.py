"""Owns what config.json says: family, the language model's settings, the tensors they ask for. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inference_image import contract, families
from inference_image.contract import Code, LoadFailed
from inference_image.families import FAMILIES, Family
from inference_image.small_files import natural

EMBEDDING: Final = "model.embed_tokens.weight"
HEAD: Final = "lm_head.weight"
_MOST_LAYERS: Final = 1024


def family(config: Mapping[str, Any]) -> Family:
    """The row of a config.json that this version's engine serves. Raises LoadFailed(family_unsupported) with the way out."""
    row = families.of(config)
    if row is not None and row.served:
        return row
    kind = str(config.get("model_type"))[:60]
    if row is not None:
        detail = f"{row.name} (model_type {kind!r}): {row.reason}; {row.way_out}"
    else:
        served = ", ".join(name for one in FAMILIES if one.served for name in one.model_types)
        near = families.nearest(config.get("model_type"))
        like = f", which looks most like {near.name}" if near is not None else ""
        detail = f"model_type is {kind!r}{like}; served: {served}; another server may know it: --engine vllm"
    raise LoadFailed(Code.FAMILY_UNSUPPORTED, contract.CONFIG, detail)


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the language model inside config.json, for the text-only and the multimodal types of a family.

    Raises LoadFailed: family_unsupported, dtype_unsupported (a quantised checkpoint) or config_invalid.
    """
    row, kind = family(config), config["model_type"]
    inner = config if kind in row.text_types else config.get("text_config")
    if not isinstance(inner, Mapping):
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"a {kind} config without a text_config object")
    family({**inner, "model_type": row.text_types[0]})  # vectors come from a text part that looks both ways, too
    for place in (config, inner):
        if place.get("quantization_config"):
            raise LoadFailed(
                Code.DTYPE_UNSUPPORTED, contract.CONFIG, "a quantised checkpoint (quantization_config); bring bfloat16 weights"
            )
    made = {name: inner[name] for name in _FIELDS if name in inner}
    # Multimodal configs keep these outside of text_config.
    for name in ("eos_token_id", "bos_token_id", "pad_token_id", "tie_word_embeddings"):
        if name in config and name not in made:
            made[name] = config[name]
    _require_architecture(made)
    # transformers' config class takes no integer for some of these, and torch none beyond 64 bits.
    made |= {name: float(made[name]) for name in (*_POSITIVES, *_SOFTCAPS) if made.get(name) is not None}
    return made | {name: _rope(name, made[name]) for name in _ROPES if made.get(name) is not None}


# The defaults of transformers' config class for Gemma 3's text: multimodal checkpoints write only what differs from them.
_DEFAULTS: Final = {
    "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
}  # fmt: skip
_NATURALS: Final = (*_DEFAULTS, "max_position_embeddings", "query_pre_attn_scalar", "sliding_window", "sliding_window_pattern")
_POSITIVES: Final = ("rms_norm_eps", "rope_theta", "rope_local_base_freq")
_SOFTCAPS: Final = ("attn_logit_softcapping", "final_logit_softcapping")
_ROPE_NUMBERS: Final = ("factor", "rope_theta")
_ROPES: Final = ("rope_scaling", "rope_parameters")
_FIELDS: Final = (
    *_NATURALS, *_POSITIVES, *_SOFTCAPS, *_ROPES, "layer_types", "hidden_activation", "attention_bias", "tie_word_embeddings",
    "eos_token_id", "bos_token_id", "pad_token_id",
)  # fmt: skip
"""All of a config that serving uses: the rest is for training, or of other versions, and reaches no code of transformers."""
LAYER_TYPES: Final = ("sliding_attention", "full_attention")
_ACTIVATIONS: Final = ("gelu_pytorch_tanh", "gelu", "gelu_new", "gelu_fast", "silu", "relu")


def _bad(name: str, value: object, wanted: str) -> LoadFailed:
    return LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{name} is {str(value)[:40]}, not {wanted}")


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e30


def _require_architecture(config: Mapping[str, Any]) -> None:
    """Refuse values on which the architecture would break later, inside torch. Raises LoadFailed(config_invalid)."""
    for name in _NATURALS:
        if name in config and not (natural(config[name], 1 << 24) and config[name] > 0):
            raise _bad(name, config[name], "a positive integer")
    for name in _POSITIVES:
        if name in config and not _positive(config[name]):
            raise _bad(name, config[name], "a positive number")
    for name in _SOFTCAPS:
        if config.get(name) is not None and not _positive(config[name]):
            raise _bad(name, config[name], "a positive number")
    for name in ("attention_bias", "tie_word_embeddings"):
        if not isinstance(config.get(name, False), bool):
            raise _bad(name, config[name], "true or false")
    if config.get("hidden_activation", _ACTIVATIONS[0]) not in _ACTIVATIONS:
        raise _bad("hidden_activation", config["hidden_activation"], f"one of {', '.join(_ACTIVATIONS)}")
    _require_layers(config)
    for name in _ROPES:
        _require_rope(name, config.get(name))


def _require_layers(config: Mapping[str, Any]) -> None:
    sizes = {name: config.get(name, default) for name, default in _DEFAULTS.items()}
    if sizes["num_hidden_layers"] > _MOST_LAYERS:
        raise _bad("num_hidden_layers", sizes["num_hidden_layers"], f"at most {_MOST_LAYERS}")
    if sizes["head_dim"] % 2:
        raise _bad("head_dim", sizes["head_dim"], "even")
    for name, by in (("num_attention_heads", "num_key_value_heads"), ("hidden_size", "num_attention_heads")):
        if sizes[name] % sizes[by]:
            raise _bad(name, sizes[name], f"a multiple of {by} ({sizes[by]})")
    kinds = config.get("layer_types")
    if kinds is None:
        return
    if not isinstance(kinds, list) or len(kinds) != sizes["num_hidden_layers"]:
        raise _bad("layer_types", kinds, f"a list of num_hidden_layers ({sizes['num_hidden_layers']}) names")
    if odd := [kind for kind in kinds if kind not in LAYER_TYPES]:
        raise _bad("one of layer_types", odd[0], " or ".join(LAYER_TYPES))


def _require_rope(name: str, value: object) -> None:
    """`rope_scaling` is one set of rotary settings, `rope_parameters` one for each type of layer."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise _bad(name, value, "an object")
    if name == "rope_parameters":
        for kind in LAYER_TYPES:
            _require_rope(f"{name}.{kind}", value.get(kind))
        return
    scaled = _kind_of_rope(value)
    if scaled not in ("default", "linear"):
        raise _bad(f"rope_type in {name}", scaled, "default or linear, those of Gemma 3")
    if scaled == "linear" and "factor" not in value:
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{name} is linear and has no factor")
    for setting in _ROPE_NUMBERS:
        if setting in value and not _positive(value[setting]):
            raise _bad(f"{setting} in {name}", value[setting], "a positive number")


def _rope(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary settings in one spelling: `type` was the name of rope_type, and newer versions would not scale then."""
    if name == "rope_parameters":
        return {kind: _rope(kind, value.get(kind) or {}) for kind in LAYER_TYPES}
    return {
        "rope_type": _kind_of_rope(value),
        **{setting: float(value[setting]) for setting in _ROPE_NUMBERS if setting in value},
    }


def _kind_of_rope(value: Mapping[str, Any]) -> Any:
    """Any: what a file says."""
    return value.get("rope_type", value.get("type", "default"))


def expected(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """{name: shape} of every stored parameter of the family's text class, from text_config's result, before torch is imported.

    A tied `lm_head.weight` is not in it.
    """
    sizes = {name: config.get(name, default) for name, default in _DEFAULTS.items()}
    hidden, inner, head = sizes["hidden_size"], sizes["intermediate_size"], sizes["head_dim"]
    queries, keys = sizes["num_attention_heads"] * head, sizes["num_key_value_heads"] * head
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "self_attn.q_norm.weight": (head,),
        "self_attn.k_norm.weight": (head,),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        "pre_feedforward_layernorm.weight": (hidden,),
        "post_feedforward_layernorm.weight": (hidden,),
    }
    if config.get("attention_bias"):
        rows = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": hidden}
        layer |= {f"self_attn.{name}.bias": (size,) for name, size in rows.items()}
    made: dict[str, tuple[int, ...]] = {
        EMBEDDING: (sizes["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    for number in range(sizes["num_hidden_layers"]):
        made |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    if config.get("tie_word_embeddings") is False:
        made[HEAD] = made[EMBEDDING]
    return made
