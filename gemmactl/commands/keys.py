"""`gemmactl keys create|list|revoke`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.impersonating import impersonating
from gemmactl.commands.session import session
from gemmactl.result import Result

app = typer.Typer(
    help="API keys of a service that was deployed with --auth api-key: who may call it, how often, until when.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command()
@impersonating
def create(
    ctx: typer.Context,
    name: o.NameArgument = None,
    label: Annotated[str, typer.Option(metavar="TEXT", help="What the key is for; stands in lists.")] = "",
    rpm: Annotated[
        int | None,
        typer.Option(
            "--rpm",
            metavar="N",
            min=1,
            max=100_000,
            help="Most POST requests a minute, in each instance. Default: no limit.",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it lives: 90d, 12h. Default: until it is revoked.")
    ] = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Make a key: it alone goes to stdout, this once. Secret Manager keeps its hash.

    Example: gemmactl keys create NAME --label ci --rpm 60 --expires 90d
    """
    from gemmactl.serving.keys import create as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, here.voice, label=label, per_minute=rpm, expires=expires)


@app.command("list")
@impersonating
def show(
    ctx: typer.Context,
    name: o.NameArgument = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Show the keys: id, label, when it was made, limit and end; never a key.

    Example: gemmactl keys list NAME
    """
    from gemmactl.serving.keys import listed as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name)


@app.command()
@impersonating
def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The service.")],
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `gemmactl keys list` shows it.")],
    yes: o.Yes = False,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Take a key back, after asking: instances refuse it within about half a minute, and nothing brings it back.

    Example: gemmactl keys revoke NAME 3f9a1c07
    """
    from gemmactl.serving.keys import revoke as run

    here = session(ctx)
    settings = here.settings()
    return run(here.place(settings, project, region), settings, name, key, here.voice, yes=yes)
