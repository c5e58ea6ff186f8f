"""From the flags of `finetune check` to what is looked through and where: the cloud is opened for gs:// alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_image.contract import TuneFailed
from finetune_image.run import Wish, parse
from gemmactl.errors import usage
from gemmactl.result import Result, Target
from gemmactl.serving.looking import folders
from gemmactl.settings import SANDBOX, Settings
from gemmactl.tune import check
from gemmactl.tune.data_source import Places
from gemmactl.tune.failing import trouble
from gemmactl.voice import Voice

DATA = {"data": "train", "eval": "eval", "limit": "limit", "data_format": "format", "prompt": "prompt",
        "completion": "completion", "system": "system"}  # fmt: skip
"""Flag -> its name in the part `data` of finetune.yaml."""


def checking(settings: Settings, flags: Mapping[str, Any], voice: Voice, folder: Path) -> Result:
    """Look the data of the flags through."""
    wish = _wish(flags)
    said = settings.value("project", flags.get("project"))
    project = settings.project(flags.get("project")).text if said else ""
    places = (wish.data.train, str(wish.data.eval), wish.model)
    remote = any(place.startswith("gs://") for place in places)
    target: Target = "local" if not remote else "sandbox" if project == SANDBOX else "cloud"
    voice.aim(target)
    opened = folders(project)
    return check.check(wish, Places(opened.cloud, folder), target=target)


def _wish(flags: Mapping[str, Any]) -> Wish:
    data = {name: flags[flag] for flag, name in DATA.items() if flags.get(flag) is not None}
    if not data.get("train"):
        raise usage(
            "no data is named",
            why="DATA is missing: a file, gs://BUCKET/FILE, or hf:owner/name[:split]",
            remedy="gemmactl finetune check DATA.jsonl",
            code="data-missing",
        )
    if "eval" in data:
        data["eval"] = _share(data["eval"])
    made: dict[str, Any] = {"data": data}
    if flags.get("model"):
        made["model"] = flags["model"]
    if flags.get("max_length"):
        made["train"] = {"max_length": flags["max_length"]}
    try:
        return parse(made, "the command line")
    except TuneFailed as failed:
        raise trouble(failed) from None


def _share(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
