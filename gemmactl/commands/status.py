"""`gemmactl status`: options in, one call, a Result out."""

from __future__ import annotations

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def status(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Show a service: address, state, model, size, revisions and traffic.

    Example: gemmactl status --project PROJECT_ID
    """
    from gemmactl.serving.status import status as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name)
