"""Owns steps of a model that carries adapters: each row goes through its request's own. Knows nothing else of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inference_image.engine.routing import BASE
from inference_image.engine.schedule import Part, Steps

if TYPE_CHECKING:
    import torch

    from inference_image.engine.adapters import Adapters


def adapter_of(tag: Any) -> str | None:
    """The adapter that a step's tag asks for: an engine's job, a name by itself, or None. Any: a tag is the request's own."""
    name: str | None = tag if tag is None or isinstance(tag, str) else tag.request.adapter
    return name


class Routed:
    """The steps of a model whose modules have adapters, for whoever schedules them. One thread at a time."""

    def __init__(self, steps: Steps, adapters: Adapters, *, recorded: bool = False) -> None:
        """`recorded`: decode steps are captured once and replayed, so they read masks where a row has an adapter; see Routing.

        What records them must keep those of Adapters.kind() apart.
        """
        self.steps = steps
        self.adapters = adapters
        self._recorded = recorded
        if recorded:
            adapters.prepare_static(steps.rows)

    @property
    def rows(self) -> int:
        return self.steps.rows

    @property
    def model(self) -> Any:
        """What the steps compute with. Any: as in Slots."""
        return self.steps.model  # type: ignore[attr-defined]  # every real one has it; Steps doesn't ask for it

    def prompt(self, parts: Sequence[Part]) -> torch.Tensor:
        routing = self.adapters.routing
        routing.set(self._numbers([part.tag for part in parts]), [len(part.ids) for part in parts], self.adapters.device)
        try:
            return self.steps.prompt(parts)
        finally:
            routing.clear()

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> torch.Tensor:
        routing, numbers = self.adapters.routing, self._numbers(tags)
        if self._recorded and any(number != BASE for number in numbers):
            routing.fill(numbers)
        else:
            routing.set(numbers, device=self.adapters.device)
        try:
            return self.steps.decode(tokens, positions, tags)
        finally:
            routing.clear()

    def move(self, source: int, target: int, tokens: int) -> None:
        self.steps.move(source, target, tokens)

    def _numbers(self, tags: Sequence[Any]) -> list[int]:
        return [self.adapters.numbers[adapter_of(tag)] for tag in tags]
