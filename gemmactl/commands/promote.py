"""`gemmactl promote`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def promote(
    ctx: typer.Context,
    name: o.NameArgument = None,
    percent: Annotated[
        int, typer.Option("--percent", metavar="N", min=1, max=100, help="Share of the requests. Default: 100, all of them.")
    ] = 100,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Give the waiting revision of a service its requests: after --canary, --no-traffic or a rollback.

    A revision that has not been tested yet is tested first. `gemmactl rollback` takes it back.

    Example: gemmactl promote gemma-3-4b-product-merged-model --project PROJECT_ID
    """
    from gemmactl.serving.traffic import promote as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, here.voice, percent=percent)
