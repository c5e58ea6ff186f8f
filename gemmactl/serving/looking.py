"""From inspect's flags to what is looked at and where: the cloud is opened for gs:// alone, and needs no project for reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gemmactl.result import Result, Target
from gemmactl.serving import inspection
from gemmactl.serving.folder import Folders
from gemmactl.serving.overriding import variable
from gemmactl.serving.wishes import SANDBOX_PROJECT, model_of
from gemmactl.settings import SANDBOX, Settings
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud


def looking(settings: Settings, flags: Mapping[str, Any], voice: Voice, *, fix: bool, yes: bool) -> Result:
    """Inspect the model that the flags or gemmactl.yaml name."""
    model = model_of(settings, flags)
    said = settings.value("project", flags.get("project"))
    project = settings.project(flags.get("project")).text if said else ""
    target: Target = "local" if model.kind != "gs" else "sandbox" if project == SANDBOX else "cloud"
    voice.aim(target)
    look = inspection.Look(
        model,
        overrides=variable(flags),
        sample=bool(flags.get("deep")),
        base=str(flags.get("base") or ""),
        corrected=tuple(flags.get("override") or ()),
        flags=_place(project, flags.get("region")),
        target=target,
    )
    return inspection.show(look, folders(project), voice, fix=fix, yes=yes)


def _place(project: str, region: str | None) -> str:
    """Flags that a next command must repeat; empty when no project is known."""
    if not project:
        return f" --project PROJECT_ID --region {region}" if region else ""
    return f" --project {project}" + (f" --region {region}" if region else "")


def folders(project: str) -> Folders:
    """Folders of a project that may be empty: reading an object belongs to no project."""

    def cloud() -> Cloud:
        from gemmactl.gcp.cloud import connect

        if project != SANDBOX:
            return connect(project)
        from gemmactl.sandbox import daemon

        return connect(SANDBOX_PROJECT, endpoint=daemon.ensure())

    return Folders(cloud)
