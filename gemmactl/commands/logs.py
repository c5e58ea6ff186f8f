"""`gemmactl logs`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def logs(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on; Ctrl-C ends it.")
    ] = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=1, max=1000, help="The newest N entries.")] = 50,
    since: Annotated[
        str | None, typer.Option(help="Only entries since 30m, 2h, 1d, or a time such as 2026-11-22T10:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only entries before that time, in the same forms.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only this severity and above: DEBUG, INFO, WARNING, ERROR.")] = None,
    search: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only entries that hold this text, anywhere in them and in upper or lower case."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Each entry whole, as a line of JSON: labels, trace and all that the API sent.")
    ] = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Show what the service wrote, oldest first.

    Example: gemmactl logs -f --severity WARNING --project PROJECT_ID
    """
    from gemmactl.serving.log_filter import Wanted
    from gemmactl.serving.logs import logs as run

    here = session(ctx)
    settings = here.settings()
    wanted = Wanted(tail, since, severity, follow, until, search, raw)
    return run(here.place(settings, project, region), settings, name, wanted, here.voice)
