"""`gemmactl status`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def status(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The service. Default: a list of all of ours.")] = None,
    project: o.Project = None,
    region: o.Region = None,
    wake: Annotated[
        bool, typer.Option("--wake", help="Ask it even if that starts an instance, which is billed from then on.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="What it costs asleep, awake, for one wake-up, and at most in a month.")
    ] = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """List the services, or show one: health, revisions, traffic, last start, settings and drift.

    Without --region the list looks into every region with GPUs. An instance that sleeps is not woken.

    Example: gemmactl status gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.status import status as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, here.voice, wake=wake, cost=cost)
