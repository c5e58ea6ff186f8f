"""Owns LoRA adapters on a shared base: their matrices in memory, what each adds to a module's output. Knows no source of bytes.

The arithmetic is PEFT's, operation by operation: matrices in float32 whatever they were stored in, x cast to float32, B(A(x))
times the scaling, added to the base's output in float32, the sum cast back. A forward hook adds it, so the base's modules, their
names and their weights stay as they are, quantised ones included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from inference_image.adapter_files import Adapter
from inference_image.contract import Code, LoadFailed
from inference_image.engine.routed import Routed
from inference_image.engine.routing import Columns, Routing, numbers
from inference_image.engine.schedule import Steps
from inference_image.layout import ITEM_SIZE, Tensor
from inference_image.upload import stored_dtype

if TYPE_CHECKING:
    import torch

    from inference_image.engine.slots import Slots


class Low(NamedTuple):
    """One adapter's part of one module: float32 matrices A [rank, in] and B [out, rank]."""

    a: torch.Tensor
    b: torch.Tensor
    scaling: float


class Adapted:
    """A module's adapters, as its forward hook. Where a model is run without its modules' own calls, `add` does the same."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self.low: dict[int, Low] = {}
        self._beside: tuple[torch.Tensor, torch.Tensor, Columns] | None = None

    def __call__(self, module: torch.nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        routing = self._routing
        return self.add(args[0], output) if routing.parts or routing.static else None

    def add(self, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Writes what each row's adapter adds into the base's output of x: float32 is added and the sum rounded once."""
        if self._routing.static:
            return self._masked(x, output)
        for adapter, rows in self._routing.parts:
            low = self.low.get(adapter)
            if low is None:
                continue
            if rows is None:
                return output.add_(_delta(x, low))
            made = output.view(-1, output.shape[-1])
            made[rows] = made[rows].add_(_delta(x.reshape(-1, x.shape[-1])[rows], low))
        return output

    def _masked(self, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        if self._beside is None:
            return output
        import torch

        a, b, columns = self._beside
        flat = x.reshape(-1, x.shape[-1]).to(a.dtype)
        # the scaling is in the mask: B(A(x) * scaling), equal to PEFT's order where it is a power of two, else to rounding
        delta = torch.nn.functional.linear(torch.nn.functional.linear(flat, a) * columns.mask[: flat.shape[0]], b)
        output.view(-1, output.shape[-1]).add_(delta)
        return output

    def lay_beside(self, columns: Columns) -> None:
        """All matrices of the module in two, without a second copy: the single ones become views."""
        import torch

        a = torch.cat([low.a for low in self.low.values()])
        b = torch.cat([low.b for low in self.low.values()], dim=1)
        at = 0
        for adapter, low in self.low.items():
            end = at + low.a.shape[0]
            self.low[adapter] = Low(a[at:end], b[:, at:end], low.scaling)
            at = end
        self._beside = (a, b, columns)


def _delta(x: torch.Tensor, low: Low) -> torch.Tensor:
    import torch

    inner = torch.nn.functional.linear(x.to(low.a.dtype), low.a)
    return torch.nn.functional.linear(inner, low.b) * low.scaling


class Adapters:
    """Those of one model. `serving` has whole passes go through one; `routing` mixes them in a batch."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = tuple(names)
        self.device = device
        self.numbers = numbers(names)
        """{name: what Routing calls it}; None is the base."""
        self.routing = Routing()
        self.modules: dict[str, Adapted] = {}

    @classmethod
    def install(cls, model: torch.nn.Module, adapters: Sequence[Adapter], device: torch.device) -> Adapters:
        """Hang adapters on a model's modules, filled or not. Raises LoadFailed(adapter_invalid) for NaN and for no training."""
        made = cls([one.name for one in adapters], device)
        for number, adapter in enumerate(adapters):
            sums: list[torch.Tensor] = []
            for pair in adapter.pairs:
                if pair.module not in made.modules:
                    made.modules[pair.module] = hook = Adapted(made.routing)
                    model.get_submodule(pair.module).register_forward_hook(hook)
                low = Low(_tensor(adapter, pair.a, device), _tensor(adapter, pair.b, device), pair.scaling)
                made.modules[pair.module].low[number] = low
                sums += [low.a.sum(), low.b.sum(), low.b.abs().max()]
            _require_trained(adapter, sums)
        return made

    def around(self, steps: Steps, *, recorded: bool = False) -> Steps:
        """Steps in which each row goes through its request's adapter; the same ones where there is none to go through."""
        return Routed(steps, self, recorded=recorded) if self.names else steps

    def kind(self) -> bool:
        """Whether the next pass reads masks: a recording of one kind is of no use for the other."""
        return self.routing.static

    def alone(self) -> bool:
        """Whether the next pass is the base's in every row."""
        return not (self.routing.static or self.routing.parts)

    def record(self, slots: Slots, enough: Callable[[], bool]) -> int:
        """Have the steps with masks recorded, too, after those of the base. Returns how many were."""
        if not self.names:
            return 0
        self.routing.fill(())
        try:
            return slots.record(enough)
        finally:
            self.routing.clear()

    @contextmanager
    def serving(self, name: str | None) -> Iterator[None]:
        """Every pass inside goes through one adapter, or through the base alone."""
        self.routing.whole(self.numbers[name])
        try:
            yield
        finally:
            self.routing.clear()

    def prepare_static(self, rows: int) -> None:
        """Memory for Routing's masks with up to `rows` rows in a pass: once, before a graph is captured."""
        import torch

        known: dict[tuple[tuple[int, int, float], ...], Columns] = {}
        for module in self.modules.values():
            kind = tuple((adapter, low.a.shape[0], low.scaling) for adapter, low in module.low.items())
            if kind not in known:
                scales = torch.zeros(len(self.names) + 1, sum(rank for _, rank, _ in kind), device=self.device)
                at = 0
                for adapter, rank, scaling in kind:
                    scales[adapter, at : at + rank] = scaling
                    at += rank
                known[kind] = Columns(scales, torch.zeros(rows, scales.shape[1], device=self.device))
            module.lay_beside(known[kind])
        self.routing.lay(list(known.values()))


def _tensor(adapter: Adapter, tensor: Tensor, device: torch.device) -> torch.Tensor:
    import torch

    data = memoryview(adapter.data)[tensor.begin : tensor.end]
    # torch wants an aligned address, and the header's length decides where the data begin
    stored = torch.frombuffer(bytearray(data) if tensor.begin % ITEM_SIZE[tensor.dtype] else data, dtype=stored_dtype(tensor))
    return stored.view(tensor.shape).to(device, torch.float32)


def _require_trained(adapter: Adapter, sums: Sequence[torch.Tensor]) -> None:
    """One transfer for all of an adapter. LoRA begins with B at zero: one that is still so answers as the base does."""
    import torch

    values = torch.stack(list(sums)).tolist()
    if bad := [number for number, value in enumerate(values) if not math.isfinite(value)]:
        pair = adapter.pairs[bad[0] // 3]
        name = (pair.a if bad[0] % 3 == 0 else pair.b).name
        raise LoadFailed(Code.ADAPTER_INVALID, f"adapter {adapter.name}", f"{name}: NaN or infinity in it")
    if not any(values[2::3]):
        detail = "every lora_B is zero, as before training: the base alone would answer"
        raise LoadFailed(Code.ADAPTER_INVALID, f"adapter {adapter.name}", detail)
