"""Owns the fast path: a model over our own cache, many rows in one step. Knows no request and no text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

from inference_image.engine.attention import DecodeStep, Forward, PromptStep, Step, Stretch
from inference_image.engine.graphs import Graphs, Record, cuda_recorder
from inference_image.engine.kv import Cache
from inference_image.engine.schedule import Part

if TYPE_CHECKING:
    import torch

    from inference_image.engine.fused import Passes


LANES: Final = 16
"""A CPU's attention looks at a multiple of so many tokens: the sum over a row's own is then made in the same order, whatever the
longest row beside it has. A vector holds 16 floats; what is left of a span is summed apart."""
PROBE: Final = 80
"""Tokens of the prompt that our kernels are judged by: more than one block of keys."""
APART: Final = 0.05
"""How far logits may be from the modules', as a share of their norm: bfloat16 leaves 0.01 of 34 layers (docs/bench/gpu.md)."""


class Slots:
    """Computes steps of up to `rows` sequences of up to `length` tokens. One thread at a time."""

    def __init__(
        self,
        model: Any,
        rows: int,
        length: int,
        record: Record | None = None,
        kind: Callable[[], Hashable] = lambda: None,
        features: Callable[[Any], torch.Tensor] | None = None,
        passes: Callable[[Any, Cache], Passes] | None = None,
        alone: Callable[[], bool] = lambda: True,
    ) -> None:
        """`model` may still be without its weights. `record`: how steps are recorded; by default only on a GPU.

        `kind`: see Graphs. `features`: what the content of a Solid is in place of its tokens, [tokens, width]. `passes`: what
        computes in place of the model's modules, as long as nothing else hangs on those (`alone`) and no Solid is read.
        """
        import torch

        # Any: ours (language.py), or one of transformers', whose own forward and head are not in its types.
        self.model, self._forward = model, _over_our_cache(model)
        self._features = features
        self.rows, self.length = rows, length
        with torch.inference_mode():
            self.cache = Cache(model.config, rows, length, model.dtype, model.device)
        self._held = [0] * rows
        self._alone, self._passes = alone, passes(model, self.cache) if passes is not None else None
        if record is None and model.device.type == "cuda":
            record = cuda_recorder(model.device)
        self._new_graphs: Callable[[], Graphs | None] = lambda: (
            Graphs(self._one_each, record, rows=rows, length=length, device=model.device, kind=kind) if record else None
        )
        self._graphs = self._new_graphs()

    @property
    def recorded(self) -> bool:
        """Are decode steps recorded once and replayed?"""
        return self._graphs is not None

    def prompt(self, parts: Sequence[Part]) -> torch.Tensor:
        """Read parts of prompts. Logits [prompts that are complete now, vocabulary], in the order of `parts`."""
        import torch

        with torch.inference_mode():
            device = self.model.device
            ids = torch.tensor([[token for part in parts for token in part.ids]], device=device)
            at = torch.cat([torch.arange(part.start, part.start + len(part.ids), device=device) for part in parts])
            stretches = [Stretch(part.row, part.start, len(part.ids), _blocks(part, device)) for part in parts]
            ends, end = [], 0
            for part, stretch in zip(parts, stretches, strict=True):
                end += stretch.count
                self._held[part.row] = stretch.end
                if part.last:
                    ends.append(end - 1)
            keep = torch.tensor(ends, dtype=torch.long, device=device)
            step, solid = PromptStep(self.cache, stretches), any(part.solids for part in parts)
            if self._passes is not None and self._alone() and not solid:
                return self._passes.prompt(ids[0], at, step, keep)
            embedded = self._with_features(ids, parts) if solid else None
            return self._logits(ids, at[None], step, keep, embedded)[0]

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any] = ()) -> torch.Tensor:
        """One more token for each of the first rows: its number and its position. Logits [rows, vocabulary]."""
        import torch

        for row, place in enumerate(positions):
            self._held[row] = place + 1
        with torch.inference_mode():
            if self._graphs is not None:
                return self._graphs.decode(tokens, positions, [min(held, self.length - 1) for held in self._held])
            device = self.model.device
            at, held = torch.tensor(positions, device=device), (min(positions) + 1, max(positions) + 1)
            span = min(-(-held[1] // LANES) * LANES, self.length)
            return self._one_each(torch.tensor(tokens, device=device), at, span, held)

    def proven(self) -> bool:
        """Do our kernels give the modules' logits, for a prompt and a step after it? Where not, modules compute from now on.

        For weights that are there, and no sequence that is: the cache is empty afterwards.
        """
        import torch

        passes = self._passes
        if passes is None:
            return True
        ids = [number % int(self.model.config.vocab_size) for number in range(5, 5 + min(PROBE, self.length - 2))]

        def both() -> torch.Tensor:
            first = self.prompt([Part(0, 0, ids, last=True)])
            token, at = (torch.tensor([one], device=self.model.device) for one in (ids[0], len(ids)))
            return torch.cat([first, self._one_each(token, at, len(ids) + 1)]).float()

        with torch.inference_mode():
            ours, self._passes = both(), None
            theirs = both()
            self.cache.clear()
        self._held = [0] * self.rows
        agreed = bool((ours - theirs).norm() <= APART * theirs.norm())  # nothing that is no number is less
        if agreed:
            self._passes = passes
        else:
            self._graphs = self._new_graphs()
        return agreed

    def move(self, source: int, target: int, tokens: int) -> None:
        """The first `tokens` tokens of a row go to another row."""
        import torch

        with torch.inference_mode():
            self.cache.move(source, target, tokens)
        self._held[target], self._held[source] = tokens, 0

    def rehearse(self, enough: Callable[[], bool] = lambda: False) -> int:
        """Compute once what will be computed often, before the weights are there; record steps until it is `enough`.

        Returns how many steps were recorded. The cache is empty afterwards.
        """
        import torch

        with torch.inference_mode():
            self.prompt([Part(0, 0, [0] * min(8, self.length - 1), last=True)])
            self.decode([0], [min(8, self.length - 1)])
        return self.record(enough)

    def record(self, enough: Callable[[], bool]) -> int:
        """The second half of a rehearsal, for steps of the present kind."""
        import torch

        recorded = 0
        with torch.inference_mode():
            for size, reach in self._graphs.all() if self._graphs is not None else ():
                if enough():
                    break
                self._graphs.record(size, reach)  # type: ignore[union-attr]  # there is one, or nothing to go through
                recorded += 1
            self.cache.clear()
        self._held = [0] * self.rows
        return recorded

    def _one_each(self, tokens: torch.Tensor, at: torch.Tensor, reach: int, held: tuple[int, int] | None = None) -> torch.Tensor:
        if self._passes is not None and self._alone():
            return self._passes.decode(tokens, at, reach)
        step = DecodeStep(self.cache, at, reach, held=held)
        return self._logits(tokens[:, None], at[:, None], step, 1)[:, 0]

    def _with_features(self, ids: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
        """What the model makes of the tokens [1, tokens, width], and in place of solid ones their features, as they are."""
        made: torch.Tensor = self.model.get_input_embeddings()(ids)
        before = 0
        for part in parts:
            for solid in part.solids:
                if self._features is None:
                    raise TypeError("a model without eyes")
                at = before + solid.begin - part.start
                made[0, at : at + solid.end - solid.begin] = self._features(solid.content)
            before += len(part.ids)
        return made

    def _logits(
        self, ids: torch.Tensor, at: torch.Tensor, step: Step, keep: int | torch.Tensor, embedded: torch.Tensor | None = None
    ) -> torch.Tensor:
        return self._forward(ids, at, step, keep, embedded)


def _over_our_cache(model: Any) -> Forward:
    """How a model computes a step: ours take it as it is."""
    from inference_image.engine.language_config import LanguageConfig

    if isinstance(model.config, LanguageConfig):
        made: Forward = model
        return made
    from inference_image.engine import borrowed

    return borrowed.over_our_cache(model)


def _blocks(part: Part, device: torch.device) -> torch.Tensor | None:
    """Stretch.blocks of a part."""
    import torch

    if not part.solids:
        return None
    made = torch.zeros(len(part.ids), dtype=torch.long, device=device)
    for number, solid in enumerate(part.solids, 1):
        made[solid.begin - part.start : solid.end - part.start] = number
    return made
