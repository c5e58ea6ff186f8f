"""Owns what config.json says: family, the language model's settings, whether they can be used. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from inference_image import contract, families
from inference_image.contract import Code, LoadFailed
from inference_image.families import EMBEDDING, FAMILIES, Family
from inference_image.family_rules import RULES
from inference_image.fields import (
    ACTIVATIONS,
    FIELDS,
    LARGEST_SIZE,
    LAYER_TYPES,
    ROPES,
    TOKENS,
    Fields,
    bad,
    is_positive,
    is_size,
)
from inference_image.small_files import natural

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
    if inner.get("use_bidirectional_attention") in (True, "all"):
        detail = f"{row.name} that looks both ways (use_bidirectional_attention): {EMBEDDING.reason}; {EMBEDDING.way_out}"
        raise LoadFailed(Code.FAMILY_UNSUPPORTED, contract.CONFIG, detail)
    for place in (config, inner):
        if place.get("quantization_config"):
            raise LoadFailed(
                Code.DTYPE_UNSUPPORTED, contract.CONFIG, "a quantised checkpoint (quantization_config); bring bfloat16 weights"
            )
    fields = FIELDS[row.key]
    made = {name: inner[name] for name in fields.names if name in inner}
    # Multimodal configs keep these outside of text_config.
    for name in (*TOKENS, "tie_word_embeddings"):
        if name in config and name not in made:
            made[name] = config[name]
    _require_architecture(made, fields)
    made["model_type"] = row.text_types[0]
    if row.key in RULES:
        RULES[row.key](made)
    # transformers' config class takes no integer for some of these, and torch none beyond 64 bits.
    made |= {name: float(made[name]) for name in (*fields.positives, *fields.softcaps) if made.get(name) is not None}
    return made | {name: _ropes(name, made[name], fields) for name in ROPES if made.get(name) is not None}


def _require_architecture(config: Mapping[str, Any], fields: Fields) -> None:
    """Refuse values on which the architecture would break later, inside torch. Raises LoadFailed(config_invalid)."""
    checks: tuple[tuple[Sequence[str], Callable[[object], bool], str], ...] = (
        ((*fields.sizes, *fields.naturals), is_size, "a positive integer"),
        (fields.counts, lambda value: natural(value, LARGEST_SIZE), "0 or a positive integer"),
        (fields.optional, lambda value: value is None or is_size(value), "a positive integer"),
        (fields.positives, is_positive, "a positive number"),
        (fields.softcaps, lambda value: value is None or is_positive(value), "a positive number"),
        (fields.switches, lambda value: isinstance(value, bool), "true or false"),
        ((fields.activation,), lambda value: value in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"),
    )
    for names, fits, wanted in checks:
        for name in names:
            if name in config and not fits(config[name]):
                raise bad(name, config[name], wanted)
    _require_layers(config, fields)
    for name in ROPES:
        _require_ropes(name, config.get(name), fields)


def _require_layers(config: Mapping[str, Any], fields: Fields) -> None:
    sizes = {name: config.get(name, default) for name, default in fields.sizes.items()}
    if sizes["num_hidden_layers"] > _MOST_LAYERS:
        raise bad("num_hidden_layers", sizes["num_hidden_layers"], f"at most {_MOST_LAYERS}")
    if sizes["head_dim"] % 2:
        raise bad("head_dim", sizes["head_dim"], "even")
    whole = (("hidden_size", "num_attention_heads"),) if fields.whole_heads else ()
    for name, by in (("num_attention_heads", "num_key_value_heads"), *whole):
        if sizes[name] % sizes[by]:
            raise bad(name, sizes[name], f"a multiple of {by} ({sizes[by]})")
    kinds = config.get("layer_types")
    if kinds is None:
        return
    if not isinstance(kinds, list) or len(kinds) != sizes["num_hidden_layers"]:
        raise bad("layer_types", kinds, f"a list of num_hidden_layers ({sizes['num_hidden_layers']}) names")
    if odd := [kind for kind in kinds if kind not in LAYER_TYPES]:
        raise bad("one of layer_types", odd[0], " or ".join(LAYER_TYPES))


# --- rotary settings ------------------------------------------------------------------------------


def _by_layer(name: str, fields: Fields) -> bool:
    """`rope_scaling` is one set of rotary settings, `rope_parameters` one for each type of layer where the family has it so."""
    return name == "rope_parameters" and fields.ropes_by_layer


def _require_ropes(name: str, value: object, fields: Fields) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise bad(name, value, "an object")
    if _by_layer(name, fields):
        for kind in LAYER_TYPES:
            _require_rope(f"{name}.{kind}", value.get(kind), fields)
    else:
        _require_rope(name, value, fields)


def _require_rope(name: str, value: object, fields: Fields) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise bad(name, value, "an object")
    scaled = _kind_of_rope(value)
    if scaled not in fields.ropes:
        raise bad(f"rope_type in {name}", scaled, f"{', '.join(fields.ropes[:-1])} or {fields.ropes[-1]}")
    if scaled == "linear" and "factor" not in value:
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{name} is linear and has no factor")
    for setting in fields.rope_numbers:
        if setting in value and not is_positive(value[setting]):
            raise bad(f"{setting} in {name}", value[setting], "a positive number")
    if value.get("partial_rotary_factor", 1) > 1 and "partial_rotary_factor" in fields.rope_numbers:
        raise bad(f"partial_rotary_factor in {name}", value["partial_rotary_factor"], "at most 1")


def _ropes(name: str, value: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Rotary settings in one spelling: `type` was the name of rope_type, and newer versions would not scale then."""
    if _by_layer(name, fields):
        return {kind: _rope(value.get(kind) or {}, fields) for kind in LAYER_TYPES}
    return _rope(value, fields)


def _rope(value: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    return {
        "rope_type": _kind_of_rope(value),
        **{setting: float(value[setting]) for setting in fields.rope_numbers if setting in value},
    }


def _kind_of_rope(value: Mapping[str, Any]) -> Any:
    """Any: what a file says."""
    return value.get("rope_type", value.get("type", "default"))
