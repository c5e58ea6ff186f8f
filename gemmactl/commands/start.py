"""`gemmactl start`: options in, one call, a Result out."""

from __future__ import annotations

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def start(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Let the next request wake a stopped service.

    It is as it was: revisions, traffic, limits, address.

    Example: gemmactl start gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.stopping import start as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, here.voice)
