"""`gemmactl copy`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def copy(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SRC", help="gs://BUCKET/FOLDER, a directory, or hf:owner/name[@revision].")],
    target: Annotated[str, typer.Argument(metavar="DST", help="gs://BUCKET/FOLDER, a directory, or hf:owner/name.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Also what no server needs: optimizer states, pictures, subfolders.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there and differ. Default: refuse, and name them.")
    ] = False,
    make_bucket: Annotated[
        bool, typer.Option("--make-bucket", help="Make DST's bucket in --region if there is none: private, uniform access.")
    ] = False,
    project: o.Project = None,
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="Region of a bucket that --make-bucket makes. Default: as for deploy.")
    ] = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Copy a model between Cloud Storage, directories and Hugging Face, checksummed and resumable.

    A different file is never overwritten silently; the same command again goes on after an interruption.
    A gated model needs HF_TOKEN, of an account that accepted its terms.

    Example: gemmactl copy hf:google/gemma-3-4b-it gs://BUCKET/gemma-3-4b-it --project PROJECT_ID
    """
    from gemmactl.serving.copy import Wish
    from gemmactl.serving.copy import copy as run

    here = session(ctx)
    wish = Wish.read(source, target, everything=everything, overwrite=overwrite, make_bucket=make_bucket)
    settings = here.settings()
    return run(wish, lambda: here.place(settings, project, region), here.voice, here.environ)
