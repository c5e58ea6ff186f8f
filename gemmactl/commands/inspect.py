"""`gemmactl inspect`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def inspect(
    ctx: typer.Context,
    model: o.ModelArgument = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read samples of the tensors: NaN, all zero, equal to the base of --base.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="MODEL", help="What it was trained from: weights are compared with it, an adapter is matched."
        ),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write corrections as new small files beside the weights, after asking.")
    ] = False,
    override: o.Override = None,
    project: o.Project = None,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Look a model through without a GPU: what it is, what fits, what is wrong and how to mend it.

    Reads configs and the headers of the shards, in seconds. Exit 6 when it can't be served as it is.

    Example: gemmactl inspect gs://BUCKET/gemma-3-4b-product_merged_model

    Example: gemmactl inspect ./model --deep
    """
    from gemmactl.serving.looking import looking

    here = session(ctx)
    return looking(here.settings(), ctx.params, here.voice, fix=fix, yes=yes)
