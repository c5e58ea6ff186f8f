"""`gemmactl export`: options in, one call, a Result out."""

from __future__ import annotations

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def export(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Write a live service as YAML, for gcloud and for deploy --from-yaml.

    Example: gemmactl export gemma-3-4b-product-merged-model --project PROJECT_ID >service.yaml
    """
    here = session(ctx)
    settings = here.settings()
    from gemmactl.serving.export import export as run

    return run(here.place(settings, project, region), settings, name, here.voice)
