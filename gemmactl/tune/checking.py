"""From the flags of `finetune check` to what is looked through and where: the cloud is opened for gs:// alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gemmactl.errors import Exit
from gemmactl.result import Result, Target
from gemmactl.serving.looking import folders
from gemmactl.settings import SANDBOX, Settings
from gemmactl.tune.check import Asked, check
from gemmactl.tune.data_source import Places
from gemmactl.tune.wishes import base_model, document
from gemmactl.voice import Voice


def checking(settings: Settings, flags: Mapping[str, Any], voice: Voice, folder: Path, line: str = "") -> Result:
    """Look the data of the flags or of finetune.yaml through. `line`: the command that trains on it."""
    wish, job = document(flags, folder)
    model = base_model(wish.model, folder)
    named = flags.get("project") or job.get("project")
    project = settings.project(named).text if settings.value("project", named) else ""
    remote = model.kind == "gs" or any(str(place).startswith("gs://") for place in (wish.data.train, wish.data.eval))
    target: Target = "local" if not remote else "sandbox" if project == SANDBOX else "cloud"
    voice.aim(target)
    opened = folders(project)
    asked = Asked(wish, model, settings.region(job.get("region")).text, bool(flags.get("full")), target)
    found = check(asked, Places(opened.cloud, folder), opened)
    if not line or found.exit is not Exit.OK:
        return found
    return replace(found, next=(line if project else f"{line} --project PROJECT_ID",))
