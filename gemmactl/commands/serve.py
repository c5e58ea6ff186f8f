"""`gemmactl serve`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result


def serve(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="gs://BUCKET/FOLDER, a directory, hf:owner/name, or https://HOST/FOLDER.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on. Default: this machine only.")] = "127.0.0.1",
    adapter: o.Adapter = None,
    quantize: o.Quantize = None,
    images: o.Images = False,
    skip_unverified: o.SkipUnverified = False,
    presets: o.Presets = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Run the container's own server here, on GPU or CPU; Ctrl-C ends it.

    Example: gemmactl serve ./model --port 8080
    """
    from gemmactl.local.adapters import given
    from gemmactl.local.model import asked
    from gemmactl.local.server import serve as run

    here = session(ctx)
    environ = asked(here.environ, skip_unverified=skip_unverified, quantize=quantize, images=images, presets=presets)
    return run(model, host, port, here.voice, given(environ, adapter or ()))
