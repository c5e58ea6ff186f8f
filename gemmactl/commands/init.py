"""`gemmactl init`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def init(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="gs://BUCKET/FOLDER, a directory, or hf:owner/name. Default: found in the buckets."),
    ] = None,
    name: o.Name = None,
    project: o.Project = None,
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="Region with the GPU. Default: where one is free, near the bucket.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a gemmactl.yaml that is there.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Also write gemmactl.schema.json, by which editors complete and check the file.")
    ] = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Write gemmactl.yaml: what a service is, found where it can be, asked where not.

    Project, model, region and name are in force, every other setting is a comment. Makes read calls only. Without a terminal it
    asks nothing, and says which flag is missing.

    Example: gemmactl init gs://BUCKET/gemma-3-4b-product_merged_model --project PROJECT_ID
    """
    from gemmactl.commands.described import described
    from gemmactl.commands.described import schema as document
    from gemmactl.serving import init as run

    here = session(ctx)
    settings = here.settings_outside()
    explained = {key: (one.words, one.takes) for key, one in described().items()}
    target = run.Target(here.folder, explained, force, document() if schema else None)
    target.check()
    chosen = run.project(settings, project, here.home, here.voice)
    where = here.at(chosen, settings.region(region))
    return run.init(where, settings, ctx.params, target, here.voice)
