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
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="gs://BUCKET/FOLDER",
            help="A copy of the revision's weights, where its own are gone. Each file is compared first.",
        ),
    ] = None,
    yes: o.Yes = False,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Give all requests back to a revision that served before, at once, and try one prompt.

    Nothing is built and nothing is removed: `gemmactl promote` goes forward again. Weights that are gone are told before anything
    starts; what can be brought back is, after a yes.

    Example: gemmactl rollback gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.traffic import rollback as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, target, here.voice, to=to, weights=weights, yes=yes)
