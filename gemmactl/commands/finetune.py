"""`gemmactl finetune ...`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated

import typer

from gemmactl.commands import finetune_runs
from gemmactl.commands import options as o
from gemmactl.commands import options_train as r
from gemmactl.commands import options_tune as t
from gemmactl.commands import options_yaml as y
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
def run(
    ctx: typer.Context,
    data: t.DataArgument = None,
    config: t.Config = None,
    set_: r.Set = None,
    model: t.Model = None,
    name: r.Name = None,
    bucket: r.Bucket = None,
    eval: t.Eval = None,  # noqa: A002 - the flag's own name
    data_format: t.DataFormat = None,
    prompt: t.Prompt = None,
    completion: t.Completion = None,
    system: t.System = None,
    limit: t.Limit = None,
    epochs: r.Epochs = None,
    lr: r.Lr = None,
    lora_r: r.LoraR = None,
    lora_alpha: r.LoraAlpha = None,
    max_length: t.MaxLength = None,
    quantize: r.Quantize = None,
    max_usd: r.MaxUsd = None,
    max_hours: r.MaxHours = None,
    follow: r.Follow = True,
    dry_run: r.DryRun = False,
    for_admin: r.ForAdmin = False,
    as_form: r.AsForm = "gcloud",
    again: r.Again = False,
    local: r.Local = False,
    gpu_type: r.GpuType = None,
    cpu: r.Cpu = None,
    memory: r.Memory = None,
    timeout: r.Timeout = None,
    retries: r.Retries = None,
    network: r.Network = None,
    subnet: r.Subnet = None,
    network_tags: r.NetworkTags = None,
    vpc_egress: r.VpcEgress = None,
    service_account: r.ServiceAccount = None,
    build_service_account: r.BuildServiceAccount = None,
    iam: r.Iam = None,
    kms_key: r.KmsKey = None,
    image: r.Image = None,
    hf_token: r.HfToken = None,
    from_yaml: y.JobFromYaml = None,
    modernise: y.ModerniseJob = False,
    project: o.Project = None,
    region: o.Region = None,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Make a served model out of rows: check, plan, ask, train on a GPU job, merge, publish.

    The same command again joins the run, goes on with it after an interruption, or says that it is done. It ends with the
    `gemmactl deploy` line of the result.

    Example: gemmactl finetune run sql.jsonl --project PROJECT_ID

    Example: gemmactl finetune run sql.jsonl --epochs 3 --max-usd 5 --project PROJECT_ID

    Example: gemmactl finetune run --from-yaml finetune-job.yaml --modernise --project PROJECT_ID
    """
    here = session(ctx)
    if from_yaml is not None:
        here.alone(ctx, "from_yaml", "modernise", "follow", "dry_run", "project", "region", "yes")
        from gemmactl.tune import from_yaml as yaml
        from gemmactl.tune.job_file import opened

        found, where = opened(from_yaml, here.environ, here.voice, here.settings(), project, region)
        how = yaml.Way(yes=yes, modern=modernise, follow=follow)
        if dry_run:
            return yaml.plan(found, here.at(*where), how, again=here.again("finetune", "--dry-run"))
        return yaml.run(found, here.at(*where), here.voice, how)
    if modernise:
        here.needs("modernise", "from_yaml")
    if local:
        here.alone(ctx, "local", *r.WITH_LOCAL, why="a run on this machine has no project, no job and no account")
        from gemmactl.local.tuning import run as train

        return train(ctx.params, here.voice, here.environ, here.folder)
    from gemmactl.tune.wishes import asked

    settings = here.settings()
    wish = asked(settings, ctx.params, here.voice, here.folder)
    from gemmactl.tune.data_source import Places
    from gemmactl.tune.run import Way
    from gemmactl.tune.run import run as start

    place = here.at(wish.project, wish.region)
    way = Way(yes=yes, follow=follow, again=again, dry=dry_run, line=here.again("finetune", "--dry-run"))
    read = Places(lambda: place.cloud, here.folder)
    if for_admin:
        from gemmactl.tune.for_admin import for_admin as written

        words = here.again("finetune", "--for-admin", "--as")
        return written(wish, place, read, here.voice, way, form=as_form, again=words)
    return start(wish, place, read, here.voice, way)


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
    line = here.again("finetune", "--full").replace("finetune check", "finetune run", 1)
    return checking(here.settings(), ctx.params, here.voice, here.folder, line)


finetune_runs.register(app)
