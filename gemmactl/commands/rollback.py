"""`gemmactl rollback`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def rollback(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|REVISION",
            help="The service, or one of its revisions. Default: the only service of ours, and what served before.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="REVISION", help="The revision. Default: the one that served before what serves now."),
    ] = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Give all requests back to a revision that served before, at once, and try one prompt.

    Nothing is built and nothing is removed: `gemmactl promote` goes forward again.

    Example: gemmactl rollback gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.traffic import rollback as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, target, here.voice, to=to)
