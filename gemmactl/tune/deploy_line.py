"""The command that serves what a fine-tune made. Pure."""

from __future__ import annotations

import shlex

from finetune_image.run import Run
from gemmactl.tune.published import places


def deploy_line(run: Run, flags: str, engine: str = "") -> str:
    """Of the merged model; of base and adapter where nothing was merged. `engine`: what the family needs; empty: gemmactl's."""
    name, run_id = run.wish.name, run.run_id
    if run.wish.output.merged:
        what = places(run.bucket, name, run_id)["model"]
    else:
        what = f"{_place(run.wish.model)} --adapter {name}={places(run.bucket, name, run_id)['adapter']}"
    return f"gemmactl deploy {what} --name {name}{f' --engine {engine}' if engine else ''} {flags}".rstrip()


def _place(model: str) -> str:
    """As deploy reads it."""
    text = model if model.startswith(("gs://", "hf:", "/", ".")) or model.count("/") != 1 else f"hf:{model}"
    return shlex.quote(text)
