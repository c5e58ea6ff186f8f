"""Owns what single families ask of their settings, beyond one value at a time: sharing, experts, layers of two widths.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.fields import FIELDS, LAYER_TYPES, bad, is_size
from inference_image.shapes import layer_types, shared_from

_MOST_INPUTS: Final = 64
"""Copies of the hidden state that Gemma 3n could keep; it has 4."""

_ALIGNED: Final = 8
"""Values of 16 bytes together: torch._grouped_mm takes no other strides."""


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _require_sharing(config: Mapping[str, Any]) -> None:
    """Layers at the end may take keys and values of the last layer of their type that makes its own: there must be one."""
    kinds, first = layer_types(config), shared_from(config)
    if first < 1 or (first < len(kinds) and set(kinds[:first]) != set(kinds)):
        detail = f"num_kv_shared_layers is {config.get('num_kv_shared_layers')}, and no layer before makes what those share"
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, detail)


def _for_each_layer(config: dict[str, Any], name: str, fits: Callable[[object], bool], wanted: str) -> None:
    count, value = config.get("num_hidden_layers", FIELDS["gemma3n"].sizes["num_hidden_layers"]), config[name]
    if not isinstance(value, list) or len(value) != count or not all(map(fits, value)):
        raise bad(name, value, f"a list of num_hidden_layers ({count}) entries, {wanted}")


def _gemma3n(config: dict[str, Any]) -> None:
    inputs = config.get("altup_num_inputs", 4)
    if not 2 <= inputs <= _MOST_INPUTS:
        raise bad("altup_num_inputs", inputs, f"from 2 to {_MOST_INPUTS}")
    if config.get("altup_active_idx", 0) >= inputs:
        raise bad("altup_active_idx", config["altup_active_idx"], f"less than altup_num_inputs ({inputs})")
    if isinstance(config.get("intermediate_size"), list):
        _for_each_layer(config, "intermediate_size", is_size, "positive integers")
    elif not is_size(config.get("intermediate_size", 1)):
        raise bad("intermediate_size", config["intermediate_size"], "a positive integer or a list of them")
    if config.get("activation_sparsity_pattern") is None:
        config.pop("activation_sparsity_pattern", None)
    else:
        _for_each_layer(config, "activation_sparsity_pattern", _share, "from 0 to below 1")
        config["activation_sparsity_pattern"] = [float(one) for one in config["activation_sparsity_pattern"]]
    _require_sharing(config)


def _gemma4(config: dict[str, Any]) -> None:
    """`per_layer_config` is the newer spelling of global_head_dim and num_global_key_value_heads: one form leaves here."""
    full = [number for number, kind in enumerate(layer_types(config)) if kind == "full_attention"]
    given = config.get("per_layer_config")
    own = _own_layers(given, full) if given is not None else _global_heads(config)
    for name in ("per_layer_config", "global_head_dim", "num_global_key_value_heads"):
        config.pop(name, None)
    if own.get("head_dim", 2) % 2:
        raise bad("global_head_dim", own["head_dim"], "even")
    heads = config.get("num_attention_heads", FIELDS["gemma4"].sizes["num_attention_heads"])
    if heads % own.get("num_key_value_heads", 1):
        raise bad("num_attention_heads", heads, f"a multiple of {own['num_key_value_heads']}, the key heads of full attention")
    config["per_layer_config"] = {str(number): dict(own) for number in full} if own else {}
    if config.pop("rope_scaling", None) is not None:
        raise bad("rope_scaling", "given", "where Gemma 4 has it: rope_parameters")
    ropes = config.get("rope_parameters")
    if ropes is not None and (missing := [kind for kind in LAYER_TYPES if not ropes.get(kind)]):
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"rope_parameters has no {missing[0]}")
    if config.get("enable_moe_block"):
        _require_experts(config)
    default = FIELDS["gemma4"].sizes["vocab_size"]
    known, tokens = (config.get(name, default) for name in ("vocab_size_per_layer_input", "vocab_size"))
    if known < tokens and config.get("hidden_size_per_layer_input", 256):
        raise bad("vocab_size_per_layer_input", known, f"at least vocab_size ({tokens}): a token would have no input")
    _require_sharing(config)


def _global_heads(config: Mapping[str, Any]) -> dict[str, int]:
    width, groups = config.get("global_head_dim", 512), config.get("num_global_key_value_heads")
    if not is_size(width):
        raise bad("global_head_dim", width, "a positive integer")
    return {"head_dim": width, **({"num_key_value_heads": groups} if groups and config.get("attention_k_eq_v") else {})}


def _own_layers(given: object, full: Sequence[int]) -> dict[str, int]:
    """What all layers of full attention have for themselves. Another layer, or another setting, is none of Gemma 4's."""
    said = f"{contract.CONFIG}: per_layer_config"
    if not isinstance(given, Mapping):
        raise bad("per_layer_config", given, "an object")
    rows = list(given.values())
    own = rows[0] if rows else {}
    if not isinstance(own, Mapping) or own.keys() - {"head_dim", "num_key_value_heads"} or not all(map(is_size, own.values())):
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{said} has settings other than head_dim and num_key_value_heads")
    if rows and (any(row != own for row in rows) or {str(name) for name in given} != {str(number) for number in full}):
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{said} is not one setting for each layer of full attention")
    return dict(own)


def _require_experts(config: Mapping[str, Any]) -> None:
    for name in ("num_experts", "top_k_experts", "moe_intermediate_size"):
        if config.get(name) is None:
            raise bad(name, None, "a positive integer, as enable_moe_block asks for")
    hidden = config.get("hidden_size", FIELDS["gemma4"].sizes["hidden_size"])
    for name, size in (("hidden_size", hidden), ("moe_intermediate_size", config["moe_intermediate_size"])):
        if size % _ALIGNED:
            raise bad(name, size, f"a multiple of {_ALIGNED}, which the kernel of the experts wants")
    if config["top_k_experts"] > config["num_experts"]:
        raise bad("top_k_experts", config["top_k_experts"], f"at most num_experts ({config['num_experts']})")


RULES: Final[Mapping[str, Callable[[dict[str, Any]], None]]] = {"gemma3n": _gemma3n, "gemma4": _gemma4}
