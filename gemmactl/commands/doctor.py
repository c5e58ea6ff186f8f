"""`gemmactl doctor`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def doctor(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    from_log: o.LogFile = None,
    list_: Annotated[bool, typer.Option("--list", help="List every failure that doctor knows.")] = False,
    explain: Annotated[str | None, typer.Option("--explain", metavar="CODE", help="Explain one failure of that list.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Plan the safe remedies, ask, and apply them.")] = False,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Say what is wrong, why, and the least that cures it.

    Exit 6 when something is found.

    Example: gemmactl doctor --project PROJECT_ID

    Example: gcloud builds submit 2>&1 | gemmactl doctor --from-log -
    """
    here = session(ctx)
    if list_ or explain is not None:
        from gemmactl.serving import knowledge

        here.voice.aim("local")
        return knowledge.explained(explain) if explain is not None else knowledge.listed()
    settings = here.settings()
    if from_log is not None:
        from gemmactl.serving.findings import from_log as run_log

        here.voice.aim("local")
        return run_log(from_log, settings, project, region)
    from gemmactl.serving.repair import repair

    return repair(here.place(settings, project, region), settings, name, here.voice, fix=fix, yes=yes)
