"""`gemmactl sandbox demo|demo-finetune|status|stop|reset`: options in, one call, a Result out."""

from __future__ import annotations

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.result import Result

app = typer.Typer(
    help="A pretended Google Cloud on this machine: no account, no network, $0. Use it with --project @sandbox.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command()
def demo(ctx: typer.Context, format: o.Format = "text") -> Result:  # noqa: A002 - the flag's own name
    """The whole story: deploy, ask, lose a role, let doctor fix it, destroy. Real server and model, pretended cloud."""
    from gemmactl.local.demo import demo as run

    here = session(ctx)
    return run(here.voice, here.environ)


@app.command("demo-finetune")
def demo_finetune(ctx: typer.Context, format: o.Format = "text") -> Result:  # noqa: A002 - the flag's own name
    """Rows become a served model: check, train, merge, publish, deploy, ask. Real worker and server, pretended cloud."""
    from gemmactl.local.demo_tune import demo as run

    here = session(ctx)
    return run(here.voice, here.environ)


@app.command()
def status(ctx: typer.Context, format: o.Format = "text") -> Result:  # noqa: A002 - the flag's own name
    """Whether it runs, where its state is, and what is deployed in it."""
    from gemmactl.local import pretended

    return pretended.status(session(ctx).voice)


@app.command()
def stop(ctx: typer.Context, format: o.Format = "text") -> Result:  # noqa: A002 - the flag's own name
    """End its processes; the state stays."""
    from gemmactl.local import pretended

    return pretended.stop(session(ctx).voice)


@app.command()
def reset(ctx: typer.Context, yes: o.Yes = False, format: o.Format = "text") -> Result:  # noqa: A002 - the flag's own name
    """End its processes and remove all of its state."""
    from gemmactl.local import pretended

    return pretended.reset(session(ctx).voice, yes=yes)
