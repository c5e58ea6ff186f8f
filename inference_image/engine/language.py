"""Owns the modules of a text model with Gemma 3's layers: what transformers' compute, and none of what importing those costs.

Names of modules and parameters are transformers', and so is each operation in its order: logits are equal bit for bit
(tests/inference_image/test_language.py). Attention is the step's. Knows no file, no cache and no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn

from inference_image.engine.language_config import LanguageConfig, Rope

if TYPE_CHECKING:
    from inference_image.engine.attention import Step

Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines [batch, tokens, head width] of positions, for one kind of layer."""


class Linear(nn.Linear):
    """torch's, whose memory comes later: its random first values would have torch import sympy, 1.6 s (2.13)."""

    def __init__(self, columns: int, rows: int, dtype: torch.dtype, *, bias: bool = False) -> None:
        super().__init__(columns, rows, bias=bias, device="meta", dtype=dtype)

    def reset_parameters(self) -> None:
        """Nothing to set."""


class Embedding(nn.Embedding):
    """Scaled: the factor is rounded to the weights' dtype before it multiplies."""

    def __init__(self, rows: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(rows, width, device="meta", dtype=dtype)
        self.embed_scale: torch.Tensor
        self.register_buffer("embed_scale", torch.tensor(width**0.5, dtype=dtype, device=device), persistent=False)

    def reset_parameters(self) -> None:
        """As in Linear."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        return super().forward(input) * self.embed_scale.to(self.weight.dtype)


class Norm(nn.Module):
    """RMS norm in float32, whose weight is what is added to one."""

    def __init__(self, width: int, epsilon: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(width, device="meta", dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return (normed * (1.0 + self.weight.float())).type_as(x)


class Rotary(nn.Module):
    """Angles of positions, for each kind of layer."""

    def __init__(self, config: LanguageConfig, device: torch.device) -> None:
        super().__init__()
        self.kinds = tuple(config.ropes)
        for kind, rope in config.ropes.items():
            self.register_buffer(f"{kind}_inv_freq", _frequencies(config.head_dim, rope).to(device), persistent=False)

    def frequencies(self, kind: str) -> torch.Tensor:
        """[head width / 2] in float32."""
        return self.get_buffer(f"{kind}_inv_freq")

    def forward(self, positions: torch.Tensor, dtype: torch.dtype) -> dict[str, Turn]:
        wide, made = positions[..., None].float(), {}
        for kind in self.kinds:
            half = wide * self.frequencies(kind)
            angles = torch.cat((half, half), dim=-1)
            made[kind] = angles.cos().to(dtype), angles.sin().to(dtype)
        return made


def _frequencies(width: int, rope: Rope) -> torch.Tensor:
    """Computed on CPU, so that they are the same everywhere."""
    made: torch.Tensor = 1.0 / (rope.base ** (torch.arange(0, width, 2, dtype=torch.float, device="cpu") / width))
    return made / rope.factor


def _turned(x: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Heads [batch, heads, tokens, width], each half of a head turned against the other."""
    cosines, sines = (one.unsqueeze(1) for one in turn)
    first, second = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return (x * cosines) + (torch.cat((-second, first), dim=-1) * sines)


class Attention(nn.Module):
    def __init__(self, config: LanguageConfig, number: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer_idx, self.layer_type = number, config.layer_types[number]
        self.head_dim, self.scaling = config.head_dim, config.query_pre_attn_scalar**-0.5
        hidden, asking = config.hidden_size, config.num_attention_heads * config.head_dim
        asked, bias = config.num_key_value_heads * config.head_dim, config.attention_bias
        self.q_proj = Linear(hidden, asking, dtype, bias=bias)
        self.k_proj = Linear(hidden, asked, dtype, bias=bias)
        self.v_proj = Linear(hidden, asked, dtype, bias=bias)
        self.o_proj = Linear(asking, hidden, dtype, bias=bias)
        self.q_norm = Norm(config.head_dim, config.rms_norm_eps, dtype)
        self.k_norm = Norm(config.head_dim, config.rms_norm_eps, dtype)

    def forward(self, x: torch.Tensor, turn: Turn, step: Step) -> torch.Tensor:
        batch, tokens, _ = x.shape
        each = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        q, k, v = (one.view(batch, tokens, -1, self.head_dim).transpose(1, 2) for one in each)
        q, k = _turned(self.q_norm(q), turn), _turned(self.k_norm(k), turn)
        seen = step.attend(self.layer_idx, q, k, v, self.scaling)
        made: torch.Tensor = self.o_proj(seen.transpose(1, 2).reshape(batch, tokens, -1))
        return made


class Mlp(nn.Module):
    def __init__(self, config: LanguageConfig, dtype: torch.dtype) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = Linear(hidden, inner, dtype)
        self.up_proj = Linear(hidden, inner, dtype)
        self.down_proj = Linear(inner, hidden, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))
        return made


class Layer(nn.Module):
    def __init__(self, config: LanguageConfig, number: int, dtype: torch.dtype) -> None:
        super().__init__()
        hidden, epsilon = config.hidden_size, config.rms_norm_eps
        self.self_attn = Attention(config, number, dtype)
        self.mlp = Mlp(config, dtype)
        self.input_layernorm = Norm(hidden, epsilon, dtype)
        self.post_attention_layernorm = Norm(hidden, epsilon, dtype)
        self.pre_feedforward_layernorm = Norm(hidden, epsilon, dtype)
        self.post_feedforward_layernorm = Norm(hidden, epsilon, dtype)

    def forward(self, x: torch.Tensor, turn: Turn, step: Step) -> torch.Tensor:
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), turn, step))
        made: torch.Tensor = x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))
        return made


class Inner(nn.Module):
    """All but the head."""

    def __init__(self, config: LanguageConfig, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size, dtype, device)
        self.layers = nn.ModuleList(Layer(config, number, dtype) for number in range(len(config.layer_types)))
        self.norm = Norm(config.hidden_size, config.rms_norm_eps, dtype)
        self.rotary_emb = Rotary(config, device)
        self._kinds = config.layer_types

    def forward(self, x: torch.Tensor, positions: torch.Tensor, step: Step) -> torch.Tensor:
        turns = self.rotary_emb(positions, x.dtype)
        for layer, kind in zip(self.layers, self._kinds, strict=True):
            x = layer(x, turns[kind], step)
        made: torch.Tensor = self.norm(x)
        return made


class Language(nn.Module):
    """A text model. Its parameters have no memory before they are assigned; buffers are on the device from the start."""

    def __init__(self, config: LanguageConfig, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.config = config
        self.model = Inner(config, dtype, device)
        self.lm_head: nn.Module = Linear(config.hidden_size, config.vocab_size, dtype)

    @property
    def dtype(self) -> torch.dtype:
        """A norm's, which no int8 takes the place of."""
        return self.model.norm.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.model.norm.weight.device

    def get_input_embeddings(self) -> Any:
        """Transformers' name. Any: what int8 puts in its place is no nn.Embedding."""
        return self.model.embed_tokens

    def tie_weights(self) -> None:
        """The head takes the embedding's matrix."""
        self.lm_head.weight = self.get_input_embeddings().weight

    def forward(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        step: Step,
        keep: int | torch.Tensor,
        embedded: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Tokens [batch, tokens] at their positions to logits [batch, kept, vocabulary].

        `keep`: the last so many, or the numbers of those that are wanted. `embedded`: what the tokens are in place of their rows.
        """
        x = self.get_input_embeddings()(ids) if embedded is None else embedded
        x = self.model(x, positions, step)
        logits: torch.Tensor = self.lm_head(x[:, -keep:] if isinstance(keep, int) else x[:, keep])
        cap = self.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap
