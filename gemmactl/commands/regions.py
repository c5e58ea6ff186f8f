"""`gemmactl regions`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def regions(
    ctx: typer.Context,
    model: o.ModelArgument = None,
    project: o.Project = None,
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="This one first, then the nearest. Default: where the model's bucket is.")
    ] = None,
    gpu_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Only this GPU: nvidia-l4 or nvidia-rtx-pro-6000. Default: both.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also show what can't be used, and why.")] = False,
    enable_api: Annotated[
        bool, typer.Option("--enable-api", help="First enable the Cloud Quotas API, which tells the limits: the only change.")
    ] = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Where this model can run now: GPU, quota left, distance of the bucket, price.

    Makes read calls only, but for --enable-api. Exit 6 when nothing can be used.

    Example: gemmactl regions gs://BUCKET/gemma-3-4b-product_merged_model --project PROJECT_ID
    """
    from gemmactl.serving.regions import asked
    from gemmactl.serving.regions import regions as run

    here = session(ctx)
    settings = here.settings()
    question = asked(settings, ctx.params)
    return run(here.place(settings, project, region), question)
