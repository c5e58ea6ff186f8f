"""`gemmactl finetune ...`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import finetune_runs
from gemmactl.commands import options as o
from gemmactl.commands import options_tune as t
from gemmactl.commands.impersonating import impersonating
from gemmactl.commands.session import session
from gemmactl.result import Result

app = typer.Typer(
    help="Fine-tune a model on your own rows: check them, train, merge, publish. On a Cloud Run GPU job, or here.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command()
@impersonating
def check(
    ctx: typer.Context,
    data: t.DataArgument = None,
    config: t.Config = None,
    model: t.Model = None,
    eval: t.Eval = None,  # noqa: A002 - the flag's own name
    data_format: t.DataFormat = None,
    prompt: t.Prompt = None,
    completion: t.Completion = None,
    system: t.System = None,
    limit: t.Limit = None,
    max_length: t.MaxLength = None,
    full: Annotated[bool, typer.Option("--full", help="Measure every row, not a sample of 2,000.")] = False,
    project: o.Project = None,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Look data through before any spend: faults by line, duplicates, lengths, and a row as the model sees it.

    Nothing is uploaded. Exit 4 when a row can't be used.

    Example: gemmactl finetune check data.jsonl

    Example: gemmactl finetune check hf:b-mc2/sql-create-context --limit 5000
    """
    from gemmactl.tune.checking import checking

    here = session(ctx)
    return checking(here.settings(), ctx.params, here.voice, here.folder)


finetune_runs.register(app)
