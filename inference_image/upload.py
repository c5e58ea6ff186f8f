"""Owns the way of pieces from the host's slabs into tensors: cast or made int8 on arrival, on a stream of its own on a GPU.

Knows no network. A slab that is used a second time is pinned; one that only held what came before torch was there never is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from inference_image import rows
from inference_image.landing import Landing, Piece
from inference_image.layout import ITEM_SIZE, Tensor
from inference_image.quantize import Int8, quantize
from inference_image.rows import Rows, Target, Whole

if TYPE_CHECKING:
    import torch

_TORCH_NAMES: Final = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
IN_FLIGHT: Final = 2
"""Pieces whose copy may be under way while the next one is asked for; their slabs are not free yet."""


def stored_dtype(tensor: Tensor) -> torch.dtype:
    import torch

    dtype: torch.dtype = getattr(torch, _TORCH_NAMES[tensor.dtype])
    return dtype


class Copies(rows.Copies, Protocol):
    """The same, and what becomes of the pieces."""

    def after(self, piece: Piece) -> None:
        """All of a piece is on its way: give it back when it has arrived."""

    def finish(self) -> None:
        """Return when everything has arrived."""


def upload(landing: Landing, made: Mapping[str, torch.Tensor | Int8], device: torch.device, copies: Copies | None = None) -> None:
    """Fill `made` from the pieces that land. Raises what the readers raised."""
    copies = copies or (OnStream(landing, device) if device.type == "cuda" else AtOnce(landing))
    targets = {name: Rows(one, copies) if isinstance(one, Int8) else Whole(one, copies) for name, one in made.items()}
    split = SplitElements()
    try:
        for piece in landing.pieces():
            for name, begin, end in landing.overlaps(piece):
                _put(landing, piece, name, (begin, end), targets[name], split)
            copies.after(piece)
    finally:
        copies.finish()


def _put(landing: Landing, piece: Piece, name: str, span: tuple[int, int], target: Target, split: SplitElements) -> None:
    """Bytes [begin, end) of the object that are in this piece, as elements into the target."""
    tensor = landing.tensors[name]
    item = ITEM_SIZE[tensor.dtype]
    first, last = span[0] - tensor.begin, span[1] - tensor.begin
    whole, beyond = -(-first // item), last // item
    shift = piece.at - piece.begin + tensor.begin
    if whole < beyond:
        target.put(_elements(landing, tensor, shift + whole * item, beyond - whole), whole)
    # A request may end inside of an element: its bytes wait for each other here.
    for begin, end in (
        ((first, min(whole * item, last)), (max(beyond * item, first), last)) if whole <= beyond else ((first, last),)
    ):
        if end > begin:
            element = split.add(name, begin, bytes(landing.arena.view(shift + begin, shift + end)), item)
            if element is not None:
                target.put(_from_bytes(element, tensor), begin // item)


def _elements(landing: Landing, tensor: Tensor, at: int, count: int) -> torch.Tensor:
    """`count` elements of the stored dtype from byte `at` of the arena on."""
    import torch

    item = ITEM_SIZE[tensor.dtype]
    if at % item:  # a header of odd length
        return _from_bytes(bytes(landing.arena.view(at, at + count * item)), tensor)
    return torch.frombuffer(landing.arena.memory, dtype=stored_dtype(tensor), count=count, offset=at)


def _from_bytes(data: bytes, tensor: Tensor) -> torch.Tensor:
    import torch

    return torch.frombuffer(bytearray(data), dtype=stored_dtype(tensor))


class SplitElements:
    """Elements whose bytes came in two or more requests."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], dict[int, int]] = {}

    def add(self, name: str, begin: int, data: bytes, item: int) -> bytes | None:
        """`data` are bytes of one element, from byte `begin` of its tensor on; the element when it is whole."""
        key = (name, begin // item)
        known = self._open.setdefault(key, {})
        known.update({begin % item + place: value for place, value in enumerate(data)})
        if len(known) < item:
            return None
        del self._open[key]
        return bytes(known[place] for place in range(item))


class AtOnce:
    """Copies on the CPU: done when copy() returns."""

    def __init__(self, landing: Landing) -> None:
        self._landing = landing

    def copy(self, source: torch.Tensor, target: torch.Tensor) -> None:
        target.copy_(source)

    def quantize(self, source: torch.Tensor, target: Int8) -> None:
        quantize(source, target)

    def after(self, piece: Piece) -> None:
        self._landing.give_back(piece)

    def finish(self) -> None:
        """Nothing is under way."""


class OnStream:
    """Copies to a GPU on a stream of its own, from pinned memory once a slab is used again."""

    def __init__(self, landing: Landing, device: torch.device) -> None:
        import torch

        self._landing = landing
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._address = torch.frombuffer(landing.arena.memory, dtype=torch.uint8).data_ptr()
        self._seen: set[int] = set()
        self._pinned: set[int] = set()
        self._under_way: deque[tuple[Any, Piece]] = deque()
        self._may_pin = True

    def copy(self, source: torch.Tensor, target: torch.Tensor) -> None:
        import torch

        with torch.cuda.stream(self._stream):
            if source.dtype != target.dtype:
                # cast on the GPU: the host's cores have bytes to receive
                source = source.to(self._device, non_blocking=True)
            target.copy_(source, non_blocking=True)

    def quantize(self, source: torch.Tensor, target: Int8) -> None:
        import torch

        with torch.cuda.stream(self._stream):
            # on the GPU too; what this takes belongs to the stream, which is given a block of rows at a time
            quantize(source.to(self._device, non_blocking=True), target)

    def after(self, piece: Piece) -> None:
        if piece.slab is not None and piece.slab in self._seen:
            self._pin(piece.slab)  # for its next use
        elif piece.slab is not None:
            self._seen.add(piece.slab)
        self._under_way.append((self._stream.record_event(), piece))
        while self._under_way and (len(self._under_way) > IN_FLIGHT or self._under_way[0][0].query()):
            event, oldest = self._under_way.popleft()
            event.synchronize()
            self._landing.give_back(oldest)

    def finish(self) -> None:
        import torch

        self._stream.synchronize()
        while self._under_way:
            self._landing.give_back(self._under_way.popleft()[1])
        codes = [
            int(torch.cuda.cudart().cudaHostUnregister(self._address + slab))  # type: ignore[no-untyped-call]  # torch leaves it untyped
            for slab in self._pinned
        ]
        self._pinned.clear()
        if any(codes):
            self._forget_error()

    def _pin(self, slab: int) -> None:
        import torch

        ring = self._landing.ring
        if not self._may_pin or slab in self._pinned or ring is None:
            return
        # not while a copy from it is under way
        self._stream.synchronize()
        code = torch.cuda.cudart().cudaHostRegister(self._address + slab, ring.stride, 0)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._may_pin = int(code) == 0
        if self._may_pin:
            self._pinned.add(slab)
        else:
            self._forget_error()

    def _forget_error(self) -> None:
        """A call that failed leaves its error behind, for which the next kernel is blamed: one without a task takes it."""
        import torch

        with suppress(RuntimeError):
            torch.zeros(1, device=self._device).add_(1)
