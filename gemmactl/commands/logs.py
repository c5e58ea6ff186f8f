"""`gemmactl logs`: options in, one call, a Result out."""

from __future__ import annotations

import typer

from gemmactl.commands import options as o
from gemmactl.commands import options_log as log
from gemmactl.commands.session import session
from gemmactl.result import Result


def logs(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    follow: log.Follow = False,
    tail: log.Tail = 50,
    since: log.Since = None,
    until: log.Until = None,
    severity: log.Severity = None,
    search: log.Search = None,
    raw: log.Raw = False,
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
