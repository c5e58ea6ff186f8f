"""Owns passes of Gemma 3 in kernels of our own (step.cu): seven for a layer of a decode step, where modules call 94 of torch's.

Knows no request and no graph. The arithmetic and its rounding are the modules'; sums are made in another order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inference_image.engine import linear
from inference_image.engine.cuda import pointer
from inference_image.engine.fused_weights import WIDTH, Group, Layer
from inference_image.engine.kernels import MOST, Launcher
from inference_image.engine.linear import Matrix

if TYPE_CHECKING:
    import torch

    from inference_image.engine.attention import PromptStep
    from inference_image.engine.kv import Cache

CHUNK: Final = 32
"""Keys that one block looks at, at the least."""
BLOCKS: Final = 32
"""Blocks for a row's keys at most, the kernel's own limit; with more keys each has more of them."""


@dataclass(frozen=True)
class Room:
    """Memory of a pass of so many rows: residual and x [rows, hidden], qkv, rope [rows, kinds, WIDTH] of float32."""

    residual: torch.Tensor
    x: torch.Tensor
    qkv: torch.Tensor
    rope: torch.Tensor


Attend = Callable[[int, Layer], "torch.Tensor"]
"""The number of a layer and the layer to what its queries see [rows, heads * WIDTH]; queries, keys and values are in the room."""


class Passes:
    """Of one model over one cache. What a decode step needs beside its logits has its memory from the start."""

    def __init__(self, model: Any, cache: Cache, launcher: Launcher) -> None:
        """For a model for which unfit() is None; its weights may still be without their bytes. Any: as there."""
        import torch

        config, inner, self._device = model.config, model.model, model.device
        self._launcher, self._cache = launcher, cache
        kinds = inner.rotary_emb.kinds
        self._layers = [Layer.of(layer, kinds) for layer in inner.layers]
        self._last = inner.norm.weight.detach()
        self._embedding, self._head = Matrix.of(inner.embed_tokens), Matrix.of(model.lm_head)
        self._factor = float(inner.embed_tokens.embed_scale.to(torch.bfloat16))
        self._kinds = len(kinds)
        self._frequencies = torch.stack([inner.rotary_emb.frequencies(kind) for kind in kinds]).contiguous()
        self._factors = torch.ones(len(kinds), device=self._device)
        self._hidden, self._between = int(config.hidden_size), int(config.intermediate_size)
        self._heads, self._keys = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._epsilon = ctypes.c_float(float(config.rms_norm_eps))
        self._own = MOST[self._head.scale is not None]
        rows, share = cache.rows, self._heads // self._keys
        self._room = self._new_room(rows)
        # a prompt, too, may have as few tokens as our own linear kernels take
        self._seen, self._inside = self._new(rows, self._heads * WIDTH), self._new(max(rows, self._own), self._between)
        most = max(linear.slices_of(columns, self._hidden) for columns in (self._heads * WIDTH, self._between))
        self._sums = self._new(most, self._own, self._hidden, dtype=torch.float32)
        self._parts = self._new(rows, self._keys, BLOCKS, share, WIDTH, dtype=torch.float32)
        self._tops = self._new(rows, self._keys, BLOCKS, share, 2, dtype=torch.float32)
        self._done = torch.zeros(rows, self._keys, dtype=torch.int32, device=self._device)

    def _new(self, *shape: int, dtype: Any = None) -> torch.Tensor:
        import torch

        return torch.empty(shape, dtype=dtype or torch.bfloat16, device=self._device)

    def _new_room(self, rows: int) -> Room:
        import torch

        hidden, wide = self._hidden, (self._heads + 2 * self._keys) * WIDTH
        rope = self._new(rows, self._kinds, WIDTH, dtype=torch.float32)
        return Room(self._new(rows, hidden), self._new(rows, hidden), self._new(rows, wide), rope)

    def decode(self, tokens: torch.Tensor, positions: torch.Tensor, reach: int) -> torch.Tensor:
        """Tokens [count] at their positions [count], both int64, of the first rows, to logits [count, vocabulary].

        Nothing is read back: all of it can be recorded. `reach`: every position is below it, but for rows that nobody reads.
        """
        count = len(tokens)
        room = Room(*(one[:count] for one in (self._room.residual, self._room.x, self._room.qkv, self._room.rope)))

        def attend(number: int, layer: Layer) -> torch.Tensor:
            self._attend(layer, number, positions, reach)
            return self._seen[:count]

        self._pass(room, tokens, positions, attend)
        return self._logits(room.x)

    def prompt(self, tokens: torch.Tensor, positions: torch.Tensor, step: PromptStep, keep: torch.Tensor) -> torch.Tensor:
        """Tokens [count] at their positions [count], both int64, in the stretches of `step`; logits of those in `keep`."""
        room, heads = self._new_room(len(tokens)), self._heads + self._keys

        def attend(number: int, layer: Layer) -> torch.Tensor:
            self._launcher.start("turn", (-(-heads // 4), len(tokens)), 128, [
                pointer(room.qkv), pointer(room.rope), *self._kind(layer), pointer(layer.query_norm), pointer(layer.key_norm),
                ctypes.c_int(self._heads), ctypes.c_int(self._keys), self._epsilon,
            ])  # fmt: skip
            each = room.qkv.view(1, len(tokens), -1, WIDTH).transpose(1, 2)
            q, k, v = each[:, : self._heads], each[:, self._heads : heads], each[:, heads:]
            return step.attend(number, q, k, v, layer.scale).transpose(1, 2).reshape(len(tokens), -1)

        self._pass(room, tokens, positions, attend)
        return self._logits(room.x.index_select(0, keep))

    def _pass(self, room: Room, tokens: torch.Tensor, positions: torch.Tensor, attend: Attend) -> None:
        """Through all layers; room.x is then what the head takes."""
        threads = max(256, -(-self._hidden // (8 * 32)) * 32)
        self._launcher.start("start", (len(tokens),), threads, [
            pointer(tokens), pointer(positions), pointer(self._embedding.weight), pointer(self._embedding.scale),
            ctypes.c_float(self._factor), pointer(self._layers[0].before_attention), pointer(room.residual), pointer(room.x),
            pointer(room.rope), pointer(self._frequencies), pointer(self._factors), ctypes.c_int(self._kinds),
            ctypes.c_int(self._hidden), self._epsilon,
        ])  # fmt: skip
        nexts = [*(layer.before_attention for layer in self._layers[1:]), self._last]
        for number, (layer, following) in enumerate(zip(self._layers, nexts, strict=True)):
            self._beside(room, layer.qkv)
            self._join(room, attend(number, layer), layer.output, layer.after_attention, layer.before_mlp)
            self._join(room, self._gated(room.x, layer.gate_up), layer.down, layer.after_mlp, following)

    def _beside(self, room: Room, group: Group) -> None:
        if len(room.x) <= self._own:
            self._linear("plain", room.x, group.each, room.qkv)
        elif group.joined is not None:
            import torch

            torch.mm(room.x, group.joined.weight.t(), out=room.qkv)
        else:
            room.qkv.copy_(group.product(room.x))

    def _gated(self, x: torch.Tensor, group: Group) -> torch.Tensor:
        count = len(x)
        if count <= self._own:
            self._linear("gated", x, group.each, self._inside)
            return self._inside[:count]
        both, wide = group.product(x), self._between
        made = self._inside[:count] if count <= len(self._inside) else self._new(count, wide)
        self._launcher.start("gate", (-(-count * wide // (8 * 256)),), 256, [
            pointer(both), pointer(both[:, wide:]), pointer(made), ctypes.c_int(wide), ctypes.c_int(2 * wide),
            ctypes.c_int(count),
        ])  # fmt: skip
        return made

    def _join(self, room: Room, x: torch.Tensor, matrix: Matrix, after: torch.Tensor, before: torch.Tensor) -> None:
        """Half of a layer ends: a product, its norm into the residual, and the norm before what follows."""
        count = len(x)
        given, slices = self._sums, 0
        if count <= self._own:
            slices = self._linear("parts", x, (matrix,), given)
        else:
            given = matrix.product(x)
        threads = -(-self._hidden // (8 * 32)) * 32
        self._launcher.start("join", (count,), threads, [
            pointer(given), ctypes.c_int(slices), pointer(after), pointer(room.residual), pointer(before), pointer(room.x),
            ctypes.c_int(self._hidden), self._epsilon,
        ])  # fmt: skip

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self._own:
            return self._head.product(x)
        logits = self._new(len(x), len(self._head.weight))
        if len(x):
            self._linear("plain", x, (self._head,), logits)
        return logits

    def _linear(self, kind: linear.Kind, x: torch.Tensor, matrices: Sequence[Matrix], y: torch.Tensor) -> int:
        return linear.product(self._launcher, kind, x, matrices, y)

    def _attend(self, layer: Layer, number: int, positions: torch.Tensor, reach: int) -> None:
        keys = self._cache.keys[number]
        length = keys.shape[2]
        held = min(reach, length)
        chunk = max(CHUNK, -(-held // (BLOCKS * CHUNK)) * CHUNK)
        self._launcher.start("attend", (-(-held // chunk), self._keys, len(positions)), 128, [
            pointer(self._room.qkv), pointer(keys), pointer(self._cache.values[number]), pointer(positions),
            pointer(self._room.rope), *self._kind(layer), pointer(layer.query_norm), pointer(layer.key_norm), pointer(self._seen),
            pointer(self._parts), pointer(self._tops), pointer(self._done), ctypes.c_int(length), ctypes.c_int(chunk),
            ctypes.c_float(layer.scale),
            self._epsilon,
        ])  # fmt: skip

    def _kind(self, layer: Layer) -> tuple[ctypes.c_int, ctypes.c_int]:
        return ctypes.c_int(self._kinds), ctypes.c_int(layer.kind)
