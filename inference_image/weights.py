"""Owns bytes -> tensors in their final memory: in place on CPU, else through a ring, or as int8. Knows no source of bytes.

The memory is there first, so that a model can be built on it, and rehearsed, while its bytes are on their way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from inference_image import quantize
from inference_image.contract import Code, LoadFailed
from inference_image.landing import Landing
from inference_image.layout import ITEM_SIZE, Tensor
from inference_image.quantize import Int8, scale_name
from inference_image.upload import stored_dtype, upload

if TYPE_CHECKING:
    import torch


def needed_bytes(table: Mapping[str, Tensor], item: int, int8: Collection[str] = ()) -> int:
    """Memory of all tensors in the model's own dtype of `item` bytes, of those named in `int8` as such."""
    return sum(
        quantize.int8_bytes(tensor.shape, item) if name in int8 else math.prod(tensor.shape) * item
        for name, tensor in table.items()
    )


def require_room(needed: int, available: int | None, code: Code, where: str) -> None:
    """Refuse a model that can't fit before the system kills the process without a word. None: unknown, go on."""
    if available is not None and needed > available:
        detail = f"the weights need {needed / 2**30:.1f} GiB, there are {available / 2**30:.1f} GiB"
        raise LoadFailed(code, where, detail)


def place(landing: Landing, device: torch.device, dtype: torch.dtype, int8: Collection[str] = ()) -> dict[str, torch.Tensor]:
    """Every expected tensor in its final memory, before its bytes are there. On CPU in the source's dtype: where they land.

    Those named in `int8` (matrices, which must come through a ring) are int8, and have their scales beside them by scale_name().
    """
    import torch

    made: dict[str, torch.Tensor] = {}
    together = neighbours(landing.tensors, device, dtype, int8) if device.type == "cuda" else {}
    for name, tensor in landing.tensors.items():
        if name in together:
            made[name] = together[name]
            continue
        if name in int8:
            made[name], made[scale_name(name)] = quantize.empty(tensor.shape, dtype, device)
            continue
        begins = landing.where(tensor) if landing.in_place and device.type == "cpu" and stored_dtype(tensor) == dtype else None
        # A header of odd length is legal, never written by safetensors itself, and leaves no address for a tensor.
        count = math.prod(tensor.shape)
        if begins is not None and count and not tensor.begin % ITEM_SIZE[tensor.dtype]:
            flat = torch.frombuffer(landing.arena.memory, dtype=dtype, count=count, offset=begins)
            made[name] = flat.view(tensor.shape)
        else:
            made[name] = torch.empty(tensor.shape, dtype=dtype, device=device)
    return made


_BESIDE: Final = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def neighbours(
    tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype, apart: Collection[str]
) -> dict[str, torch.Tensor]:
    """Matrices of the same input in one piece of memory, so that one product can take them all (engine/fused.py)."""
    import torch

    made: dict[str, torch.Tensor] = {}
    for name in tensors:
        for first, *others in _BESIDE:
            names = [name, *(name.replace(f".{first}.", f".{other}.") for other in others)]
            if f".{first}.weight" not in name or any(one not in tensors or one in apart for one in names):
                continue
            rows, columns = [tensors[one].shape[0] for one in names], tensors[name].shape[1]
            if all(tensors[one].shape[1:] == (columns,) for one in names):
                whole = torch.empty(sum(rows), columns, dtype=dtype, device=device)
                ends = list(itertools.accumulate(rows))
                made |= {one: whole[end - count : end] for one, count, end in zip(names, rows, ends, strict=True)}
    return made


def fill(landing: Landing, made: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Return when all bytes are in the tensors that `place` made, and proven to be numbers.

    Raises LoadFailed(weights_nan) for a tensor with a value that is not finite, and what the readers raised.
    """
    try:
        if landing.in_place:
            sums = _in_place(landing, made)
        else:
            upload(landing, {name: _target(name, made) for name in landing.tensors}, device)
            landing.empty_ring()
            # of a matrix in int8 its scales: a row's is finite exactly when all its weights are
            sums = {name: _sum(made.get(scale_name(name), made[name])) for name in landing.tensors}
        _require_finite(sums)
    except BaseException:
        landing.stop()
        raise


def _target(name: str, made: Mapping[str, torch.Tensor]) -> torch.Tensor | Int8:
    scale = made.get(scale_name(name))
    return made[name] if scale is None else Int8(made[name], scale)


def _in_place(landing: Landing, made: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    sums: dict[str, torch.Tensor] = {}
    for name, tensor, at in landing.whole():
        _settle(landing, tensor, at, made[name])
        sums[name] = _sum(made[name])
    return sums


def _settle(landing: Landing, tensor: Tensor, at: int, final: torch.Tensor) -> None:
    """One whole tensor that landed, copied when it has to be elsewhere; what it leaves behind is given back."""
    import torch

    if (
        not final.numel()
        or final.data_ptr() == torch.frombuffer(landing.arena.memory, dtype=torch.uint8, offset=at, count=1).data_ptr()
    ):
        return
    end = at + tensor.end - tensor.begin
    came = torch.frombuffer(bytearray(landing.arena.view(at, end)), dtype=stored_dtype(tensor))
    final.copy_(came.view(tensor.shape))
    landing.arena.release(at, end)


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
