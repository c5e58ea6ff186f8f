"""Owns bytes -> tensors in their final memory: in place on CPU, cast or copied on arrival elsewhere. Knows no source of bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inference_image.contract import Code, LoadFailed
from inference_image.landing import Landing, Region
from inference_image.layout import ITEM_SIZE, Tensor

if TYPE_CHECKING:
    import torch

_TORCH_NAMES: Final = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def needed_bytes(table: Mapping[str, Tensor], item: int) -> int:
    """Memory of all tensors in the model's own dtype of `item` bytes."""
    return sum(math.prod(tensor.shape) * item for tensor in table.values())


def require_room(needed: int, available: int | None, code: Code, where: str) -> None:
    """Refuse a model that can't fit before the system kills the process without a word. None: unknown, go on."""
    if available is not None and needed > available:
        detail = f"the weights need {needed / 2**30:.1f} GiB, there are {available / 2**30:.1f} GiB"
        raise LoadFailed(code, where, detail)


def host_memory() -> int | None:
    """Memory that this process may use, in bytes: the container's limit or the machine's memory."""
    limits = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            limits.append(int(text))
    try:
        first = Path("/proc/meminfo").read_text(encoding="ascii").split("\n", 1)[0]
        limits.append(int(first.split()[1]) << 10)
    except (OSError, ValueError, IndexError):
        pass
    return min(limits, default=None)


def _land(region: Region, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """One whole tensor in its final memory; what it leaves behind in the region is given back."""
    import torch

    count = math.prod(tensor.shape)
    if count == 0:
        return torch.empty(tensor.shape, dtype=dtype, device=device)
    stored: torch.dtype = getattr(torch, _TORCH_NAMES[tensor.dtype])
    if tensor.begin % ITEM_SIZE[tensor.dtype]:
        # A header of odd length: legal, never written by safetensors itself, and no address for a tensor.
        came = torch.frombuffer(bytearray(region.view(tensor.begin, tensor.end)), dtype=stored)
    else:
        came = torch.frombuffer(region.memory, dtype=stored, count=count, offset=tensor.begin)
        if device.type == "cpu" and stored == dtype:
            return came.view(tensor.shape)
    final = came.view(tensor.shape).to(device).to(dtype)
    if final.data_ptr() != came.data_ptr():
        region.release(tensor.begin, tensor.end)
    return final


def fill(landing: Landing, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Every expected tensor as it becomes whole. On CPU in the source's dtype nothing is copied.

    Raises LoadFailed(weights_nan) for a tensor with a value that is not finite, and what the readers raised.
    """
    import torch

    made: dict[str, torch.Tensor] = {}
    sums: dict[str, torch.Tensor] = {}
    try:
        for name, tensor in landing.whole():
            final = _land(landing.region(tensor), tensor, device, dtype)
            made[name] = final
            # A sum is not finite exactly when a weight isn't (no bf16 sum of weights reaches 3e38); no mask is allocated.
            sums[name] = final.sum(dtype=torch.float32)
    except BaseException:
        landing.stop()
        raise
    # One transfer at the end, not a synchronisation per tensor.
    bad = [name for name, finite in zip(sums, _finite(sums), strict=True) if not finite]
    if bad:
        detail = f"NaN or infinity in {len(bad)} tensors, the first is {bad[0]}"
        raise LoadFailed(Code.WEIGHTS_NAN, bad[0], detail)
    return made


def _finite(sums: Mapping[str, torch.Tensor]) -> list[bool]:
    import torch

    return [bool(one) for one in torch.isfinite(torch.stack(list(sums.values()))).tolist()] if sums else []
