"""Owns what training leaves for publishing: the adapter and the figures, whole or not there. Knows no trainer and no model.

An attempt that finds it publishes that, and measures nothing anew: what is published twice has the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from finetune_image import checkpoints
from finetune_image.contract import Code, TuneFailed
from finetune_image.figures import Figures
from finetune_image.run import Run
from finetune_image.store import Store

RESULT: Final = "result"
"""RESULT/step-000123/: adapter and FIGURES; whole once its COMPLETE is there."""
FIGURES: Final = "figures.json"
_FILES: Final = (*checkpoints.ADAPTER, FIGURES)


def tidy(folder: Path, run: Run) -> None:
    """The adapter's settings without what differs from attempt to attempt: the base's folder here, the order of a set."""
    path = folder / checkpoints.ADAPTER[1]
    said = json.loads(path.read_text())
    said["base_model_name_or_path"] = run.wish.model.removeprefix("hf:")
    for name in ("target_modules", "exclude_modules"):
        if isinstance(said.get(name), list):
            said[name] = sorted(said[name])
    path.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    for name in checkpoints.ADAPTER:
        (folder / name).chmod(0o644)  # safetensors makes files that only their owner reads


def keep(store: Store, folder: Path, run: Run, figures: Figures) -> None:
    """`store`: the run's place; `folder`: the adapter."""
    (folder / FIGURES).write_text(figures.text())
    checkpoints.put(store.at(RESULT), folder, figures.step, run.identity, _FILES)


def find(store: Store, run: Run, into: Path) -> tuple[Path, Figures] | None:
    """The adapter's folder here and the figures; None: training is not over.

    Raises:
        TuneFailed: (identity_mismatch) it is of another run; (run_invalid) its figures are none.
    """
    found = checkpoints.newest(store.at(RESULT), run.identity, into, lambda _: None)
    if found is None:
        return None
    try:
        return found[1], Figures.parse(json.loads((found[1] / FIGURES).read_text()))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise TuneFailed(Code.RUN_INVALID, f"{store.uri}/{RESULT}", str(error)) from None
