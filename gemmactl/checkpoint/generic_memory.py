"""The bytes of a family that transformers' own caches serve, as sizing asks for them. Knows no file, no cloud and no wish."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemmactl.checkpoint.memory import Architecture
from inference_image import contract, layout
from inference_image.families import FAMILIES, Engine
from inference_image.generic_sizes import GenericSizes
from inference_image.layout import Vision


@dataclass(frozen=True, kw_only=True)
class GenericArchitecture(Architecture):
    """Its bytes are those that the engine counts with: `sizes`. `keys` is the widest of all layers."""

    sizes: GenericSizes
    small: bool
    """Whether its weights may become int8."""

    @classmethod
    def of(cls, config: Mapping[str, Any], eyes: Vision | None = None) -> GenericArchitecture:
        """From the result of layout.text_config."""
        shapes, sizes = layout.expected(config), GenericSizes.of(config)
        counts = [math.prod(shape) for shape in shapes.values()]
        row = next(row for row in FAMILIES if config["model_type"] in row.text_types)
        return cls(
            parameters=sum(counts),
            matrices=sum(math.prod(shape) for shape in shapes.values() if len(shape) == 2),
            rows=sum(shape[0] for shape in shapes.values() if len(shape) == 2),
            largest=max(counts),
            full=len(sizes.full),
            sliding=len(sizes.sliding),
            window=sizes.window,
            hidden=sizes.hidden,
            inner=sizes.inner,
            queries=sizes.queries,
            keys=max(*sizes.full, *sizes.sliding),
            head=sizes.head,
            vocabulary=sizes.vocabulary,
            longest=sizes.longest,
            eyes=eyes,
            sizes=sizes,
            small=row.int8,
        )

    @property
    def at_once(self) -> int:
        return contract.GENERIC_SEQUENCES

    @property
    def int8(self) -> bool:
        return self.small

    def kv(self, tokens: int, item: int = 2) -> int:
        return self.sizes.kv(tokens, item)

    def kv_text(self, tokens: int, item: int) -> str:
        full, sliding = sum(self.sizes.full), sum(self.sizes.sliding)
        return (
            f"2 x {item} bytes x ({full} wide x {tokens} tokens + {sliding} wide in sliding layers x {self.sizes.kept(tokens)})"
        )

    def activations(self, context: int, item: int = 2) -> int:
        return self.sizes.chunk(context, item)


def architecture(config: Mapping[str, Any], eyes: Vision | None = None) -> Architecture:
    """What sizing must know, by the engine that serves the family. Raises LoadFailed(config_invalid)."""
    row = next((row for row in FAMILIES if config.get("model_type") in row.text_types), None)
    kind = GenericArchitecture if row is not None and row.engine is Engine.GENERIC else Architecture
    return kind.of(config, eyes)
