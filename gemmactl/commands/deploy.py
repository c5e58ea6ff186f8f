"""`gemmactl deploy`: options in, one call, a Result out."""

from __future__ import annotations

from pathlib import Path

import typer

from gemmactl.commands import options as o
from gemmactl.commands import options_access as a
from gemmactl.commands import options_plan as p
from gemmactl.commands import options_yaml as y
from gemmactl.commands.session import IMPERSONATE, Session, session
from gemmactl.result import Result


def deploy(
    ctx: typer.Context,
    model: p.ModelOrPlan = None,
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
    canary: o.Canary = None,
    no_traffic: o.NoTraffic = False,
    async_: o.Async = False,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Put a model into service: plan, ask, apply, wait until ready, try one prompt.

    A new revision serves once it has answered: until then a new service is closed, and an old revision serves on.
    The same command again changes nothing; after an interruption it goes on. A directory is uploaded to a bucket first. With the
    file of `gemmactl plan -o plan.json` in place of MODEL it does what was approved, or refuses when the cloud has moved.

    Example: gemmactl deploy gs://BUCKET/gemma-3-4b-product_merged_model --project PROJECT_ID
    """
    here = session(ctx)
    if from_yaml is not None:
        here.alone(ctx, "from_yaml", "modernise", "project", "region", "yes")
        from gemmactl.serving import from_yaml as yaml

        found, where = yaml.opened(from_yaml, here.environ, here.voice, here.settings(), project, region)
        place = here.at(*where)
        if modernise:
            from gemmactl.serving import modern_image

            found = modern_image.pinned(found, place, here.voice)
        return yaml.deploy(found, place, here.voice, yes=yes, modern=modernise, again=here.again("deploy"))
    if modernise:
        here.needs("modernise", "from_yaml")
    if model and model.endswith(".json") and "://" not in model and not Path(model).is_dir():
        return _as_planned(here, ctx, model, yes=yes, wait=not async_)
    from gemmactl.serving.wishes import wishes

    settings = here.settings()
    wish = wishes(settings, ctx.params, here.voice)
    from gemmactl.serving.deploy import deploy as run
    from gemmactl.serving.rollout import way

    again, opens = here.again("deploy", "--async"), here.again("deploy", "--async", "--no-traffic")
    how = way(canary, no_traffic=no_traffic, wait=not async_, again=again, opens=opens)
    return run(wish, here.place(settings, project, region), here.voice, yes=yes, way=how)


def _as_planned(here: Session, ctx: typer.Context, path: str, *, yes: bool, wait: bool) -> Result:
    """Apply the plan that a file holds."""
    from gemmactl.serving import plan_file
    from gemmactl.serving.deploy import deploy as run
    from gemmactl.serving.rollout import way

    plan_file.alone(here.typed(ctx, "model", "async_", "yes", "format", IMPERSONATE), path)
    approved = plan_file.load(Path(path), lambda: plan_file.token_again(here.environ, here.voice))
    how = way(None, no_traffic=False, wait=wait, again=here.again("deploy", "--async"))
    return run(approved.wish, here.at(*approved.where), here.voice, yes=yes, way=how, approved=approved)
