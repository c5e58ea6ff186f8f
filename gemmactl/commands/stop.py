"""`gemmactl stop`: options in, one call, a Result out."""

from __future__ import annotations

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def stop(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """End all instances of a service at once and start none; nothing is removed.

    Requests that run are cut off, later ones are refused, until `gemmactl start`.

    Example: gemmactl stop gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.stopping import stop as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, here.voice)
