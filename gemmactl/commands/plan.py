"""`gemmactl plan`: options in, one call, a Result out."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from gemmactl.commands import options as o
from gemmactl.commands import options_access as a
from gemmactl.commands import options_plan as p
from gemmactl.commands import options_yaml as y
from gemmactl.commands.session import session
from gemmactl.result import Result


def plan(
    ctx: typer.Context,
    model: o.ModelArgument = None,
    adapter: o.Adapter = None,
    name: o.Name = None,
    project: o.Project = None,
    region: o.Region = None,
    engine: o.Engine = None,
    loader: o.Loader = None,
    image: o.Image = None,
    gpu: o.GpuCount = "1",
    gpu_type: o.GpuType = None,
    cpu: o.Cpu = None,
    memory: o.Memory = None,
    concurrency: o.Concurrency = None,
    no_cpu_throttling: o.NoCpuThrottling = False,
    cpu_throttling: o.CpuThrottling = False,
    auth: a.Auth = None,
    allow_unauthenticated: a.AllowUnauthenticated = False,
    no_allow_unauthenticated: a.NoAllowUnauthenticated = False,
    invoker: a.Invoker = None,
    ingress: a.Ingress = None,
    network: a.Network = None,
    subnet: a.Subnet = None,
    network_tags: a.NetworkTags = None,
    vpc_egress: a.VpcEgress = None,
    startup_probe: o.StartupProbe = None,
    timeout: o.Timeout = None,
    max_context: o.MaxContext = None,
    quantize: o.Quantize = None,
    images: o.Images = False,
    skip_unverified: o.SkipUnverified = False,
    max_instances: o.MaxInstances = None,
    min_instances: o.MinInstances = None,
    service_account: o.ServiceAccount = None,
    build_service_account: a.BuildServiceAccount = None,
    kms_key: a.KmsKey = None,
    no_iam: a.NoIam = False,
    iam: a.Iam = False,
    set_env_vars: o.SetEnvVars = None,
    set_secrets: o.SetSecrets = None,
    override: o.Override = None,
    presets: o.Presets = None,
    hf_token: o.HfToken = None,
    rotate_hf_token: o.RotateHfToken = False,
    from_yaml: y.FromYaml = None,
    modernise: y.Modernise = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how size, context, concurrency and start-up time came about.")
    ] = False,
    for_admin: Annotated[
        bool,
        typer.Option(
            "--for-admin",
            help="Print only what you may not do yourself, and the roles that you lack, as a script for an administrator.",
        ),
    ] = False,
    as_form: Annotated[
        Literal["gcloud", "terraform"], typer.Option("--as", help="With --for-admin: the form of what is printed.")
    ] = "gcloud",
    out: p.Out = None,
    detailed_exitcode: Annotated[bool, typer.Option("--detailed-exitcode", help="Exit 3 when there are changes.")] = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Show what deploy would do, and change nothing: only read calls are made.

    With -o the plan is kept in a file, and `gemmactl deploy plan.json` does exactly that, or refuses when the cloud has moved.

    Example: gemmactl plan gs://BUCKET/gemma-3-4b-product_merged_model --project PROJECT_ID
    """
    here = session(ctx)
    if from_yaml is not None:
        here.alone(ctx, "from_yaml", "modernise", "project", "region", "detailed_exitcode")
        from gemmactl.serving import from_yaml as yaml

        found, where = yaml.opened(from_yaml, here.environ, here.voice, here.settings(), project, region)
        place = here.at(*where)
        if modernise:
            from gemmactl.serving import modern_image

            found = modern_image.pinned(found, place, here.voice)
        return yaml.plan(
            found,
            place,
            again=here.again("deploy", "--detailed-exitcode"),
            detailed=detailed_exitcode,
            modern=modernise,
        )
    if modernise:
        here.needs("modernise", "from_yaml")
    from gemmactl.serving.wishes import wishes

    settings = here.settings()
    wish = wishes(settings, ctx.params, here.voice)
    if for_admin:
        if out is not None:
            from gemmactl.errors import usage

            raise usage(
                "-o can't go with --for-admin",
                why="what an administrator must do is a script, not a plan that deploy applies",
                remedy="redirect it: gemmactl plan ... --for-admin > admin.sh",
                code="flags-contradict",
            )
        from gemmactl.serving.for_admin import for_admin as written

        again = here.again("deploy", "--detailed-exitcode", "--explain", "--for-admin", "--as")
        return written(wish, here.place(settings, project, region), here.voice, form=as_form, again=again)
    from gemmactl.serving.deploy import plan as run

    again = here.again("deploy", "--detailed-exitcode", "--explain")
    place = here.place(settings, project, region)
    keep = None
    if out is not None:
        from gemmactl.serving.plan_file import Keep

        keep = Keep(out, here.again("plan"))
    return run(wish, place, again=again, voice=here.voice, detailed=detailed_exitcode, explain=explain, out=keep)
