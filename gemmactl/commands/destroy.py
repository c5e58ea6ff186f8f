"""`gemmactl destroy`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def destroy(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model of a deploy that never got as far as its service.")
    ] = None,
    adapter: o.Adapter = None,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Remove a service and what was made for it; models stay.

    Buckets with models, enabled APIs and what is not ours are kept and listed.

    Example: gemmactl destroy gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.destroy import destroy as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, here.voice, model=model, adapters=adapter or (), yes=yes)
