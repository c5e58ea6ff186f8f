"""Owns what an attempt really does: data and base from their places, trl's trainer, the merge. Loads each when it is its turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from finetune_image import memory
from finetune_image.contract import ENV_DEVICE, ENV_THREADS, Code, TuneFailed
from finetune_image.fetch import data_file, loading, model_folder, place_of
from finetune_image.figures import Answer, Figures
from finetune_image.hands import Built, Material, Model
from finetune_image.run import Run
from finetune_image.store import Store, open_store
from inference_image.chunks import open_source

SAMPLES: Final = 5
"""Held-out rows that the report shows answers to."""


class RealHands:
    """`device`: `auto`, `cpu` or `cuda:0`."""

    def __init__(self, environ: Mapping[str, str], device: str = "auto") -> None:
        self._environ, self._device = environ, environ.get(ENV_DEVICE) or device

    def rows(self, run: Run, scratch: Path) -> Material:
        from finetune_image.data.split import load

        train = data_file(run.train, self._environ, scratch / "data" / "train")
        own = data_file(run.eval, self._environ, scratch / "data" / "eval") if run.eval else None
        found = load(train, run.wish.data, own)
        return Material(found.train, found.eval, found.notes)

    def model(self, run: Run, scratch: Path) -> AbstractContextManager[Model]:
        return model_folder(run, self._environ, scratch)

    def build(self, run: Run, model: Model, material: Material, out: Path, callbacks: Sequence[Any], micro: int | None) -> Built:
        import torch

        from finetune_image.trainer import build

        if (threads := self._environ.get(ENV_THREADS, "")).isdigit():
            torch.set_num_threads(int(threads))
        built = build(
            run, model.folder, material.train, material.held, out, device=self._place(), callbacks=callbacks, micro=micro
        )
        # a checkpoint would look up at the Hub whether the base's vocabulary is another one
        adapted: Any = built.trainer.model
        adapted.peft_config["default"].base_model_name_or_path = ""
        return built

    def _place(self) -> str:
        """Raises TuneFailed(no_gpu): torch was built for one, and there is none."""
        import torch

        if self._device != "auto":
            return self._device
        if torch.cuda.is_available():
            return "cuda:0"
        if torch.version.cuda:
            raise TuneFailed(
                Code.NO_GPU, "cuda:0", "no GPU is to be seen, or its driver is too old for this torch",
                f"torch is built for CUDA {torch.version.cuda}: an image with an older one",
                "a job with a GPU: gemmactl finetune run makes one",
            )  # fmt: skip
        return "cpu"

    def answers(self, built: Built, material: Material, *, base: bool) -> tuple[Answer, ...]:
        from finetune_image.trainer import Built as Trained

        assert isinstance(built, Trained)  # noqa: S101 - ours
        tokenizer, encoder, most = built.language.tokenizer, built.encoder, built.wish.train.max_length
        # of a longer one nothing is trained, and memory may not hold it
        fitting = (row for row in material.held if len(encoder.prompt(row)) <= most)
        rows = tuple(islice(fitting, SAMPLES))
        given = built.answers(rows, base=base)
        asked = [question(row) or str(tokenizer.decode(encoder.prompt(row), skip_special_tokens=True)) for row in rows]
        return tuple(Answer(*one) for one in zip(asked, map(encoder.answer, rows), given, strict=True))

    def facts(self) -> Mapping[str, Any]:
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_available():
            return {}
        return {"gpu_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)}

    def publish(self, run: Run, adapter: Path, figures: Figures, tell: Callable[..., Any]) -> Mapping[str, Any]:
        from finetune_image.publish import publish

        place = place_of(run.wish.model)
        near = open_store(place, self._environ) if place.startswith("gs://") else None
        with loading(place):
            base = open_source(place, self._environ)
            measure = self._measure(run, adapter.parent, figures)
            made = publish(
                run, open_store(run.bucket, self._environ), base, adapter, figures, tell=tell, near=near, measure=measure
            )
        return made.document()

    def _measure(self, run: Run, scratch: Path, figures: Figures) -> Callable[[Store], float] | None:
        """What reads merged weights back and measures them over the held-out rows.

        None: there are no such rows, or the base was in 4 bits because it fits the GPU in no other way, or this is the last of a
        budget: then nobody read the model again to say so.
        """
        if figures.loss is None or figures.stats.get("nf4", True):
            return None

        def measure(merged: Store) -> float:
            memory.free()  # what trained is not needed any more
            material = self.rows(run, scratch)
            again = replace(run, wish=replace(run.wish, model=merged.uri), pins={})
            with model_folder(again, self._environ, scratch, published=False) as model:
                built = self.build(again, model, Material(material.held, material.held), scratch / "measuring", (), 1)
            loss = built.held_out(base=True)
            if loss is None:
                raise TuneFailed(Code.MERGE_INEXACT, merged.uri, "none of the held-out rows could be measured again")
            return loss

        return measure


def question(row: Mapping[str, Any]) -> str:
    """The last thing that is said before a row's answer, for a reader; empty for plain text."""
    said = row.get("prompt", row.get("messages", ""))
    if isinstance(said, str):
        return said
    asked = [str(one["content"]) for one in said if one["role"] == "user"]
    return asked[-1] if asked else ""
