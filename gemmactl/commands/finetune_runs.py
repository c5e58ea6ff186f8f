"""`gemmactl finetune status|list|logs|cancel|resume|destroy`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands import options_log as log
from gemmactl.commands.impersonating import impersonating
from gemmactl.commands.session import session
from gemmactl.result import Result

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="What is fine-tuned, or its job. Default: the only one of the region.")
]
RunId = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Id of a run. Default: the one that the job is set to, else the newest.")
]


def status(
    ctx: typer.Context,
    name: Name = None,
    run: RunId = None,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Show how a fine-tune does: step, losses, attempts and why each ended, dollars, checkpoints, where it was published.

    Example: gemmactl finetune status sql --project PROJECT_ID
    """
    from gemmactl.tune.status import status as work

    here = session(ctx)
    return work(here.place(here.settings(), project, region), name, run)


def show(
    ctx: typer.Context,
    project: o.Project = None,
    region: o.Region = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """List what was fine-tuned, each with its newest run, losses and where it was published.

    Example: gemmactl finetune list --project PROJECT_ID
    """
    from gemmactl.tune.status import listing

    here = session(ctx)
    return listing(here.place(here.settings(), project, region))


def logs(
    ctx: typer.Context,
    name: Name = None,
    project: o.Project = None,
    region: o.Region = None,
    follow: log.Follow = False,
    tail: log.Tail = 50,
    since: log.Since = None,
    until: log.Until = None,
    severity: log.Severity = None,
    search: log.Search = None,
    raw: log.Raw = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Show what a fine-tune's job wrote, in all its executions, oldest first.

    Example: gemmactl finetune logs sql -f --project PROJECT_ID
    """
    from gemmactl.serving.log_filter import Wanted
    from gemmactl.tune.logs import logs as work

    here = session(ctx)
    wanted = Wanted(tail, since, severity, follow, until, search, raw)
    return work(here.place(here.settings(), project, region), name, wanted, here.voice)


def cancel(
    ctx: typer.Context,
    name: Name = None,
    project: o.Project = None,
    region: o.Region = None,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Stop a fine-tune: no attempt goes on until resume. It gets 10 seconds to save, and its checkpoints stay.

    Example: gemmactl finetune cancel sql --project PROJECT_ID
    """
    from gemmactl.tune.steering import cancel as work

    here = session(ctx)
    return work(here.place(here.settings(), project, region), name, here.voice, yes=yes)


def resume(
    ctx: typer.Context,
    name: Name = None,
    run: RunId = None,
    project: o.Project = None,
    region: o.Region = None,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Let a run that was cancelled, failed or stopped go on from its last checkpoint.

    Example: gemmactl finetune resume sql --project PROJECT_ID
    """
    from gemmactl.tune.steering import resume as work

    here = session(ctx)
    return work(here.place(here.settings(), project, region), name, run, here.voice, yes=yes)


def destroy(
    ctx: typer.Context,
    name: Name = None,
    project: o.Project = None,
    region: o.Region = None,
    runs: Annotated[
        bool, typer.Option("--runs", help="Also the folders of its runs, with their checkpoints; models and data stay.")
    ] = False,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Remove a fine-tune's job and what was made for it: account, bindings, secret, image. What it trained stays.

    Example: gemmactl finetune destroy sql --project PROJECT_ID
    """
    from gemmactl.tune.destroy import destroy as work

    here = session(ctx)
    return work(here.place(here.settings(), project, region), name, here.voice, yes=yes, with_runs=runs)


def register(app: typer.Typer) -> None:
    """The verbs on runs that are there, beside those that start one."""
    for name, verb in (
        ("status", status), ("list", show), ("logs", logs), ("cancel", cancel), ("resume", resume), ("destroy", destroy)
    ):  # fmt: skip
        app.command(name)(impersonating(verb))
