"""Owns the modules that compute with int8 weights, and the surgery that puts them into a model. Knows no bytes that arrive.

Each keeps `weight` (int8) and `weight_scale`, one for each row, as buffers. Imports torch at its top: to be imported where torch
already is.
"""

from __future__ import annotations

import re
from typing import Final

import torch
from torch import nn

from inference_image.engine import kernels, linear
from inference_image.quantize import Int8, empty

BLOCK: Final = 8 << 20
"""Values that are widened at once where a normal matrix product follows: 16 MiB in bfloat16, which an L4's cache holds."""
_STEP: Final = 16
"""Both kernels read rows in steps of 16 values, aligned. torch's on CPU does not ask: with other rows it reads past their end and
gives a wrong product, or the process dies (2.13)."""


class Int8Linear(nn.Module):
    """nn.Linear for weights in int8. The bias stays as it was."""

    weight: torch.Tensor
    weight_scale: torch.Tensor

    def __init__(self, old: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = old.in_features, old.out_features
        _buffers(self, old.weight)
        self.bias = old.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = product(x.reshape(-1, self.in_features), Int8(self.weight, self.weight_scale))
        y = y.view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Int8Embedding(nn.Module):
    """nn.Embedding for weights in int8, and transformers' scaled one: the rows that are looked up are widened, no others."""

    weight: torch.Tensor
    weight_scale: torch.Tensor
    embed_scale: torch.Tensor | None

    def __init__(self, old: nn.Embedding) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = old.num_embeddings, old.embedding_dim, old.padding_idx
        _buffers(self, old.weight)
        # Gemma's embeddings carry their factor; transformers casts it to the weights' dtype before it multiplies
        self.register_buffer("embed_scale", getattr(old, "embed_scale", None), persistent=False)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        dtype = self.weight_scale.dtype
        rows = nn.functional.embedding(input_ids, self.weight).to(dtype)
        rows = rows * nn.functional.embedding(input_ids, self.weight_scale.unsqueeze(1))
        return rows if self.embed_scale is None else rows * self.embed_scale.to(dtype)


def _buffers(module: nn.Module, weight: torch.Tensor) -> None:
    made = empty(weight.shape, weight.dtype, weight.device)
    module.register_buffer("weight", made.weight)
    module.register_buffer("weight_scale", made.scale)


def quantized(model: nn.Module, beside: str = "") -> frozenset[str]:
    """Put int8 modules, without memory as the model's own are, in place of all linear ones and the embedding.

    `beside`: a pattern at the start of names that stay as they are (a vision tower). Returns the names of the weights that must
    now come as int8.
    """
    names = set()
    for name, module in list(model.named_modules()):
        if beside and re.match(beside, f"{name}."):
            continue
        made: nn.Module
        if isinstance(module, nn.Linear):
            made = Int8Linear(module)
        elif isinstance(module, nn.Embedding):
            made = Int8Embedding(module)
        else:
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, made)
        names.add(f"{name}.weight")
    return frozenset(names)


def product(x: torch.Tensor, made: Int8) -> torch.Tensor:
    """The rows of x [m, k] times the transposed matrix [n, k], in the dtype of x: no bfloat16 copy of the matrix is ever whole.

    Which way is taken depends on shapes, dtype and device alone, and no value is read: all of it can be captured in a CUDA graph.
    """
    if x.dtype == torch.bfloat16 == made.scale.dtype:
        x = x.contiguous()
        aligned = x.shape[1] % _STEP == 0 and x.data_ptr() % (2 * _STEP) == 0
        if aligned and x.device.type == "cpu":
            return torch._weight_int8pack_mm(x, made.weight, made.scale)  # noqa: SLF001 - it has no public name
        if aligned and x.is_cuda and linear.takes(len(x), x.shape[1], int8=True):
            launcher = kernels.module(x.device, 1, int8=True)
            if not isinstance(launcher, str):
                return few_rows(launcher, x, made)
    return by_blocks(x, made)


def few_rows(launcher: kernels.Launcher, x: torch.Tensor, made: Int8) -> torch.Tensor:
    """By a kernel that reads each weight as one byte; for which rows: linear.takes."""
    y = x.new_empty(len(x), len(made.weight))
    linear.product(launcher, "plain", x, [linear.Matrix(made.weight, made.scale)], y)
    return y


def by_blocks(x: torch.Tensor, made: Int8, block: int = BLOCK) -> torch.Tensor:
    """A normal product for each block of rows, widened without their scale, which is exact, and the scales at the end."""
    rows = max(1, block // made.weight.shape[1])
    y = x.new_empty(len(x), len(made.weight))
    for begin in range(0, len(made.weight), rows):
        end = min(begin + rows, len(made.weight))
        torch.mm(x, made.weight[begin:end].to(x.dtype).t(), out=y[:, begin:end])
    return y.mul_(made.scale.to(x.dtype))
