"""Owns bytes -> tensors in their final memory: in place on CPU, else through a ring. Knows no source of bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from inference_image.contract import Code, LoadFailed
from inference_image.landing import Landing
from inference_image.layout import ITEM_SIZE, Tensor
from inference_image.upload import stored_dtype, upload

if TYPE_CHECKING:
    import torch


def needed_bytes(table: Mapping[str, Tensor], item: int) -> int:
    """Memory of all tensors in the model's own dtype of `item` bytes."""
    return sum(math.prod(tensor.shape) * item for tensor in table.values())


def require_room(needed: int, available: int | None, code: Code, where: str) -> None:
    """Refuse a model that can't fit before the system kills the process without a word. None: unknown, go on."""
    if available is not None and needed > available:
        detail = f"the weights need {needed / 2**30:.1f} GiB, there are {available / 2**30:.1f} GiB"
        raise LoadFailed(code, where, detail)


def fill(landing: Landing, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Every expected tensor in its final memory. On CPU in the source's dtype nothing is copied.

    Raises LoadFailed(weights_nan) for a tensor with a value that is not finite, and what the readers raised.
    """
    try:
        made = _in_place(landing, device, dtype) if landing.in_place else _through_ring(landing, device, dtype)
    except BaseException:
        landing.stop()
        raise
    return made


def _in_place(landing: Landing, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    made: dict[str, torch.Tensor] = {}
    sums: dict[str, torch.Tensor] = {}
    for name, tensor, at in landing.whole():
        made[name] = _land(landing, tensor, at, device, dtype)
        sums[name] = _sum(made[name])
    _require_finite(sums)
    return made


def _land(landing: Landing, tensor: Tensor, at: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """One whole tensor where it landed; elsewhere when it has to be, and then what it leaves behind is given back."""
    import torch

    count = math.prod(tensor.shape)
    if count == 0:
        return torch.empty(tensor.shape, dtype=dtype, device=device)
    stored, size = stored_dtype(tensor), tensor.end - tensor.begin
    if tensor.begin % ITEM_SIZE[tensor.dtype]:
        # A header of odd length: legal, never written by safetensors itself, and no address for a tensor.
        came = torch.frombuffer(bytearray(landing.arena.view(at, at + size)), dtype=stored)
    else:
        came = torch.frombuffer(landing.arena.memory, dtype=stored, count=count, offset=at)
    final = came.view(tensor.shape).to(device).to(dtype)
    in_place = not tensor.begin % ITEM_SIZE[tensor.dtype] and final.data_ptr() == came.data_ptr()
    if not in_place:
        landing.arena.release(at, at + size)
    return final


def _through_ring(landing: Landing, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    import torch

    made = {name: torch.empty(tensor.shape, dtype=dtype, device=device) for name, tensor in landing.tensors.items()}
    upload(landing, made, device)
    landing.empty_ring()
    _require_finite({name: _sum(one) for name, one in made.items()})
    return made


def _sum(one: torch.Tensor) -> torch.Tensor:
    """Not finite exactly when a weight isn't (no sum of weights reaches 3e38); no mask is allocated.

    In the tensor's own dtype, whose kernel adds in float32 anyway: asked for float32 it takes twenty times as long on CPU.
    """
    return one.sum()


def _require_finite(sums: Mapping[str, torch.Tensor]) -> None:
    import torch

    # One transfer at the end, not a synchronisation per tensor.
    finite = torch.isfinite(torch.stack(list(sums.values())).float()).tolist() if sums else []
    if bad := [name for name, good in zip(sums, finite, strict=True) if not good]:
        raise LoadFailed(Code.WEIGHTS_NAN, bad[0], f"NaN or infinity in {len(bad)} tensors, the first is {bad[0]}")
