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
    service_only: Annotated[
        bool, typer.Option("--service-only", help="Remove the service and nothing else; what stays is listed with its price.")
    ] = False,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Also the models and adapters that deploy uploaded for it, for good. Asks for the service's name."
        ),
    ] = False,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="NAME", help="The name that --all asks for, for use without a terminal.")
    ] = None,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Remove a service and what was made for it; models stay.

    What goes is shown and asked for; what stays is listed with its price for a month: models, enabled APIs, what other services
    use, and what is not ours.

    Example: gemmactl destroy gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.destroy import Extent
    from gemmactl.serving.destroy import destroy as run

    here = session(ctx)
    settings = here.settings()
    extent = Extent(everything, service_only, confirm)
    where = here.place(settings, project, region)
    return run(where, settings, name, here.voice, model=model, adapters=adapter or (), yes=yes, extent=extent)
