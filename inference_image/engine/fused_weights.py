"""Owns which models the kernels of step.cu can compute, and a model's weights as they take them. Knows no kernel and no step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inference_image.engine.language_config import LanguageConfig
from inference_image.engine.linear import STEP, Matrix

if TYPE_CHECKING:
    import torch

WIDTH: Final = 256
"""Values of a head: the only width of Gemma 3, and the kernels' own."""
SHARES: Final = (1, 2, 4, 8)
"""Query heads for each key head."""
_WIDEST: Final = 8 * 1024
"""Values of a row that a block of threads holds, eight each."""


def unfit(model: Any) -> str | None:
    """Why a model of a family with `kernels` needs its modules; None: it can be computed here. Any: a Language, or a stranger."""
    import torch

    config = model.config
    if not isinstance(config, LanguageConfig):
        return "not our own"
    if model.dtype != torch.bfloat16:
        return "not in bfloat16"
    share, rest = divmod(config.num_attention_heads, config.num_key_value_heads)
    strange = {
        "head_dim": config.head_dim != WIDTH,
        "num_attention_heads": bool(rest) or share not in SHARES,
        "hidden_size": bool(config.hidden_size % STEP) or config.hidden_size > _WIDEST,
        "intermediate_size": bool(config.intermediate_size % STEP),
        "attention_bias": bool(config.attention_bias),
        "final_logit_softcapping": config.final_logit_softcapping is not None,
    }
    return next((f"{name} is {getattr(config, name)}" for name, one in strange.items() if one), None)


@dataclass(frozen=True)
class Group:
    """Matrices of the same input. `joined`: all of them as one, where they lie one behind the other (weights.place)."""

    each: tuple[Matrix, ...]
    joined: Matrix | None

    @classmethod
    def of(cls, *modules: Any) -> Group:
        """Any: as in Matrix."""
        each = tuple(Matrix.of(one) for one in modules)
        first, at = each[0].weight, each[0].weight.data_ptr()
        for one in each:
            apart = one.weight.untyped_storage().data_ptr() != first.untyped_storage().data_ptr()
            if one.scale is not None or apart or one.weight.data_ptr() != at:
                return cls(each, None)
            at += one.weight.numel() * one.weight.element_size()
        rows = sum(len(one.weight) for one in each)
        return cls(each, Matrix(first.as_strided((rows, first.shape[1]), (first.shape[1], 1)), None))

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of x [m, columns] to [m, all outputs]."""
        import torch

        if self.joined is not None:
            return self.joined.product(x)
        return torch.cat([one.product(x) for one in self.each], dim=1)


@dataclass(frozen=True)
class Layer:
    """A decoder layer. `kind`: the number of its kind among those of the model; `scale`: what scores are multiplied with."""

    qkv: Group
    output: Matrix
    gate_up: Group
    down: Matrix
    query_norm: torch.Tensor
    key_norm: torch.Tensor
    before_attention: torch.Tensor
    after_attention: torch.Tensor
    before_mlp: torch.Tensor
    after_mlp: torch.Tensor
    kind: int
    scale: float

    @classmethod
    def of(cls, layer: Any, kinds: Sequence[str]) -> Layer:
        """Any: a layer of language.py, with what int8 puts in."""
        attention, mlp = layer.self_attn, layer.mlp
        return cls(
            qkv=Group.of(attention.q_proj, attention.k_proj, attention.v_proj),
            output=Matrix.of(attention.o_proj),
            gate_up=Group.of(mlp.gate_proj, mlp.up_proj),
            down=Matrix.of(mlp.down_proj),
            query_norm=attention.q_norm.weight.detach(),
            key_norm=attention.k_norm.weight.detach(),
            before_attention=layer.input_layernorm.weight.detach(),
            after_attention=layer.post_attention_layernorm.weight.detach(),
            before_mlp=layer.pre_feedforward_layernorm.weight.detach(),
            after_mlp=layer.post_feedforward_layernorm.weight.detach(),
            kind=kinds.index(attention.layer_type),
            scale=attention.scaling,
        )
