"""Owns what an attempt lets others do: rows, model, trainer, answers, publishing. Interfaces only; real_hands.py does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from finetune_image.figures import Answer, Figures
from finetune_image.run import Run


@dataclass(frozen=True)
class Material:
    """What is trained and what is held out, as the trainer takes it."""

    train: Sequence[Any]
    held: Sequence[Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """The base in a folder of this machine, `size` bytes of weights."""

    folder: Path
    size: int


class Built(Protocol):
    """A trainer and its model, as trainer.build makes them."""

    @property
    def trainer(self) -> Any:
        """What is used of transformers' Trainer: `train(resume_from_checkpoint=)` calls the callbacks, and saves into
        out/checkpoint-N when one asks; `_load_from_checkpoint(folder)` takes the adapter of one.
        """

    @property
    def steps(self) -> int: ...

    @property
    def stats(self) -> Any:
        """A dataclass of plain values: Figures.stats."""

    @property
    def smaller(self) -> int | None:
        """The next smaller micro-batch of the same step; None: there is none."""

    def held_out(self, *, base: bool = False) -> float | None: ...


class Hands(Protocol):
    """Each raises TuneFailed with what the user can do."""

    def rows(self, run: Run, scratch: Path) -> Material:
        """The run's data, checked to be what the run was made for. Raises TuneFailed(data_changed, data_invalid, ...)."""

    def model(self, run: Run, scratch: Path) -> AbstractContextManager[Model]:
        """The base's files here until the block ends; a directory stays as it is. Raises TuneFailed(model_..., ...)."""

    def build(self, run: Run, model: Model, material: Material, out: Path, callbacks: Sequence[Any], micro: int | None) -> Built:
        """`out`: the trainer's folder; `micro`: most sequences of a micro-batch, None: as many as fit."""

    def answers(self, built: Built, material: Material, *, base: bool) -> tuple[Answer, ...]:
        """What the model says to the first held-out rows; `base`: without the adapter."""

    def facts(self) -> Mapping[str, Any]:
        """More fields for a line of training: gpu_gb."""

    def publish(self, run: Run, adapter: Path, figures: Figures, tell: Callable[..., Any]) -> Mapping[str, Any]:
        """Merge, publish; where it is, as JSON. The same again after a kill, and nothing twice."""
