"""Owns which tensors an architecture has, as names and shapes, from the settings of its language model. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from inference_image.fields import fields_of

EMBEDDING: Final = "model.embed_tokens.weight"
HEAD: Final = "lm_head.weight"

Shape = tuple[int, ...]
Shapes = dict[str, Shape]


def expected(config: Mapping[str, Any]) -> Shapes:
    """{name: shape} of every stored tensor of the family's text class, from text_config's result, before torch is imported.

    A tied `lm_head.weight` is not in it.
    """
    fields = fields_of(config)
    full = {**fields.sizes, **config}
    make = _MADE.get(str(config.get("model_type")), _gemma3)
    made: Shapes = {EMBEDDING: (full["vocab_size"], full["hidden_size"]), "model.norm.weight": (full["hidden_size"],)}
    for name, shape in make(full).items():
        made[f"model.{name}"] = shape
    if config.get("tie_word_embeddings") is False:
        made[HEAD] = made[EMBEDDING]
    return made


def layer_types(config: Mapping[str, Any]) -> list[str]:
    """The attention of each layer: what the config names, or the family's own pattern."""
    fields = fields_of(config)
    count = config.get("num_hidden_layers", fields.sizes["num_hidden_layers"])
    if not fields.layered:
        return ["full_attention"] * count
    kinds = config.get("layer_types")
    if kinds is None:
        pattern = config.get("sliding_window_pattern") or fields.first_full
        kinds = ["sliding_attention" if (number + 1) % pattern else "full_attention" for number in range(count)]
    last = ["full_attention"] if _forces_last(config) else kinds[-1:]
    return [*kinds[:-1], *last]


def _forces_last(config: Mapping[str, Any]) -> bool:
    """Gemma 4's config class makes the last layer a full one, whatever it is called."""
    return config.get("model_type") == "gemma4_text"


def shared_from(config: Mapping[str, Any]) -> int:
    """The first layer that makes no keys and values of its own; the number of layers where all do."""
    fields = fields_of(config)
    layers = config.get("num_hidden_layers", fields.sizes["num_hidden_layers"])
    if "num_kv_shared_layers" not in fields.counts:
        return int(layers)
    return int(layers - config.get("num_kv_shared_layers", _SHARED.get(str(config.get("model_type")), 0)))


_SHARED: Final = {"gemma3n_text": 15}


def key_widths(config: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Widths of keys (and of values) in layers of full and of sliding attention; one that takes another's keeps none."""
    shapes = expected(config)
    found: tuple[list[int], list[int]] = ([], [])
    for number, kind in enumerate(layer_types(config)):
        name = f"model.layers.{number}.self_attn.k_proj.weight"
        if name in shapes:
            found[kind != "full_attention"].append(shapes[name][0])
    return found


def spare(config: Mapping[str, Any]) -> frozenset[str]:
    """Names that a checkpoint may hold and nothing reads: keys and values of layers that take another's."""
    layers = len(layer_types(config))
    names = ("k_proj.weight", "v_proj.weight", "k_norm.weight", "v_norm.weight", "k_proj.bias", "v_proj.bias")
    return frozenset(f"model.layers.{n}.self_attn.{name}" for n in range(shared_from(config), layers) for name in names)


# --- parts of a layer -----------------------------------------------------------------------------


def _attention(config: Mapping[str, Any], head: int, groups: int, *, normed: bool = True) -> Shapes:
    hidden, queries, keys = config["hidden_size"], config["num_attention_heads"] * head, groups * head
    rows = {"q_proj": (queries, hidden), "k_proj": (keys, hidden), "v_proj": (keys, hidden), "o_proj": (hidden, queries)}
    made: Shapes = {f"self_attn.{name}.weight": shape for name, shape in rows.items()}
    if config.get("attention_bias"):
        made |= {f"self_attn.{name}.bias": shape[:1] for name, shape in rows.items()}
    if normed:
        made |= {"self_attn.q_norm.weight": (head,), "self_attn.k_norm.weight": (head,)}
    return made


def _mlp(hidden: int, inner: int) -> Shapes:
    return {
        "mlp.gate_proj.weight": (inner, hidden), "mlp.up_proj.weight": (inner, hidden), "mlp.down_proj.weight": (hidden, inner),
    }  # fmt: skip


_TWO_NORMS: Final = ("input_layernorm", "post_attention_layernorm")
_FOUR_NORMS: Final = (*_TWO_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")


def _norms(hidden: int, names: tuple[str, ...]) -> Shapes:
    return {f"{name}.weight": (hidden,) for name in names}


def _without_keys(layer: Shapes) -> Shapes:
    """A layer that takes keys and values of another."""
    gone = tuple(f"self_attn.{name}." for name in ("k_proj", "v_proj", "k_norm"))
    return {name: shape for name, shape in layer.items() if not name.startswith(gone)}


def _inputs(hidden: int, each: int) -> Shapes:
    """A layer's own part of the per-layer embedding."""
    return {
        "per_layer_input_gate.weight": (each, hidden), "per_layer_projection.weight": (hidden, each),
        "post_per_layer_input_norm.weight": (hidden,),
    }  # fmt: skip


def _all_inputs(config: Mapping[str, Any], vocabulary: int, each: int) -> Shapes:
    """What the layers share of it."""
    width = config["num_hidden_layers"] * each
    return {
        "embed_tokens_per_layer.weight": (vocabulary, width), "per_layer_model_projection.weight": (width, config["hidden_size"]),
        "per_layer_projection_norm.weight": (each,),
    }  # fmt: skip


def _layers(layers: list[Shapes]) -> Shapes:
    return {f"layers.{number}.{name}": shape for number, layer in enumerate(layers) for name, shape in layer.items()}


# --- families -------------------------------------------------------------------------------------


def _alike(config: Mapping[str, Any], norms: tuple[str, ...], *, normed: bool) -> Shapes:
    hidden = config["hidden_size"]
    layer = (
        _attention(config, config["head_dim"], config["num_key_value_heads"], normed=normed)
        | _mlp(hidden, config["intermediate_size"])
        | _norms(hidden, norms)
    )
    return _layers([layer] * config["num_hidden_layers"])


def _gemma(config: Mapping[str, Any]) -> Shapes:
    return _alike(config, _TWO_NORMS, normed=False)


def _gemma2(config: Mapping[str, Any]) -> Shapes:
    return _alike(config, _FOUR_NORMS, normed=False)


def _gemma3(config: Mapping[str, Any]) -> Shapes:
    return _alike(config, _FOUR_NORMS, normed=True)


def _gemma3n(config: Mapping[str, Any]) -> Shapes:
    hidden, copies, rank = config["hidden_size"], config.get("altup_num_inputs", 4), config.get("laurel_rank", 64)
    each = config.get("hidden_size_per_layer_input", 256)
    inner, first = config.get("intermediate_size", 16_384), shared_from(config)
    common = (
        _attention(config, config["head_dim"], config["num_key_value_heads"])
        | _norms(hidden, _FOUR_NORMS)
        | _inputs(hidden, each)
        | {
            "altup.correct_output_scale": (hidden,), "altup.correction_coefs.weight": (copies, copies),
            "altup.prediction_coefs.weight": (copies**2, copies), "altup.modality_router.weight": (copies, hidden),
            "altup.router_norm.weight": (hidden,), "laurel.linear_left.weight": (rank, hidden),
            "laurel.linear_right.weight": (hidden, rank), "laurel.post_laurel_norm.weight": (hidden,),
        }
    )  # fmt: skip
    layers = []
    for number in range(config["num_hidden_layers"]):
        layer = common | _mlp(hidden, inner[number] if isinstance(inner, list) else inner)
        layers.append(layer if number < first else _without_keys(layer))
    made = _layers(layers) | _all_inputs(config, config.get("vocab_size_per_layer_input", 262_144), each)
    for number in range(copies - 1):
        made |= {f"altup_{name}projections.{number}.weight": (hidden, hidden) for name in ("", "unembed_")}
    return made


def _gemma4(config: Mapping[str, Any]) -> Shapes:
    hidden, each = config["hidden_size"], config.get("hidden_size_per_layer_input", 256)
    kinds, first = layer_types(config), shared_from(config)
    layers = []
    for number, kind in enumerate(kinds):
        own = {**config, **config.get("per_layer_config", {}).get(str(number), {})}
        shared = number >= first
        twice = 2 if shared and config.get("use_double_wide_mlp") else 1
        layer = (
            _attention(
                config, own.get("head_dim", config["head_dim"]), own.get("num_key_value_heads", config["num_key_value_heads"])
            )
            | _mlp(hidden, twice * config["intermediate_size"])
            | _norms(hidden, _FOUR_NORMS)
            | {"layer_scalar": (1,)}
            | (_inputs(hidden, each) if each else {})
            | (_experts(config) if config.get("enable_moe_block") else {})
        )
        if config.get("attention_k_eq_v") and kind == "full_attention":
            layer = {name: shape for name, shape in layer.items() if not name.startswith("self_attn.v_proj.")}
        layers.append(_without_keys(layer) if shared else layer)
    return _layers(layers) | (_all_inputs(config, config.get("vocab_size_per_layer_input", 262_144), each) if each else {})


def _experts(config: Mapping[str, Any]) -> Shapes:
    hidden, count, inner = config["hidden_size"], config["num_experts"], config["moe_intermediate_size"]
    names = ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2", "pre_feedforward_layernorm_2")
    return _norms(hidden, names) | {
        "router.proj.weight": (count, hidden), "router.scale": (hidden,), "router.per_expert_scale": (count,),
        "experts.gate_up_proj": (count, 2 * inner, hidden), "experts.down_proj": (count, hidden, inner),
    }  # fmt: skip


_MADE: Final[Mapping[str, Callable[[Mapping[str, Any]], Shapes]]] = {
    "gemma": _gemma, "gemma2": _gemma2, "gemma3_text": _gemma3, "gemma3n_text": _gemma3n, "gemma4_text": _gemma4,
}  # fmt: skip
