"""Where a run publishes what it makes. Pure: knows no cloud and no screen."""

from __future__ import annotations

from finetune_image.contract import ADAPTERS, MODELS
from finetune_image.run import Output


def places(bucket: str, name: str, run_id: str, output: Output | None = None) -> dict[str, str]:
    """`model` and `adapter` -> its folder, of those that are made. `bucket`: `gs://bucket` or a directory; no `output`: both."""
    made = {"model": output is None or output.merged, "adapter": output is None or output.adapter}
    kinds = {"model": MODELS, "adapter": ADAPTERS}
    return {kind: f"{bucket}/{folder}/{name}/{run_id}" for kind, folder in kinds.items() if made[kind]}
