"""doctor where no service is: the project's own checks, and the build that a deploy died in. Knows no failure by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmactl import stack
from gemmactl.doctor.builds import failed_build
from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.live import Looked, beforehand
from gemmactl.doctor.several import together, unknown
from gemmactl.errors import Trouble, usage
from gemmactl.kernel.plan import api_disabled
from gemmactl.resources import names
from gemmactl.resources.image import OURS, made_for
from gemmactl.resources.service_account import email_of
from gemmactl.result import Result
from gemmactl.serving.grounding import standing
from gemmactl.serving.one_look import one_look
from gemmactl.serving.place import Place
from gemmactl.serving.repair import Seen, accounts, concluded, number
from gemmactl.serving.wishes import wishes
from gemmactl.settings import Settings
from gemmactl.spec import Serve, parse_model
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.doctor.checks.check import End
    from gemmactl.serving.mending import Keep

MISSING: Final = ("service-missing", "service-none")
"""Codes that say for sure that there is none; any other refusal leaves it open."""
SOME: Final = "hf:google/gemma-3-4b-it"
"""Stands for a model that nobody named, or whose files need no bucket: the project is asked the same either way."""


def repair(
    place: Place,
    settings: Settings,
    name: str,
    missing: Trouble,
    voice: Voice,
    *,
    fix: bool,
    yes: bool,
    retry: bool,
    for_admin: bool,
    keep: Keep = lambda _known: None,
) -> Result:
    """The project as plan and deploy look at it before anything is made, and the newest build for that name.

    `missing`: why there is no service to look at. Without a name: the newest build of all of ours.

    Raises:
        Trouble: (usage) --retry, where no service tells what to deploy again; or a setting that is not legal.
    """
    if retry:
        raise usage(
            "--retry has nothing to deploy again",
            why=f"{missing.what}: no service tells which model it was",
            remedy=f"run it without --retry, then {_deploy(place, settings, name)}",
            code="nothing-to-retry",
        )
    seen = look(place, settings, name, missing, voice)
    return concluded(seen, place, voice, fix=fix, yes=yes, for_admin=for_admin, keep=keep)


def look(place: Place, settings: Settings, name: str, missing: Trouble, voice: Voice) -> Seen:
    """All that can be asked without a service; only reads are made."""
    context = Context(
        project=place.id,
        number=number(place),
        region=place.region.text,
        service=name,
        caller=place.cloud.caller(),
        build_account=email_of(names.BUILD_ACCOUNT, place.id),
    )
    wish = _wish(place, settings, name, voice)
    wanted = stack.serving(wish)
    context = replace(context, bucket=wish.model.bucket)
    once = replace(place, cloud=one_look(place.cloud))  # what several questions ask for is asked once
    with ThreadPoolExecutor(2) as pool:
        ground = pool.submit(standing, once, wanted, context, bucket=wish.model.bucket, live=False)
        built = pool.submit(_build, once, name, context)
        own = beforehand(once.cloud, wanted, context)
        checks, build = ground.result(), built.result()
    deploy = _deploy(place, settings, name)
    found = together(build.findings, own.findings, checks.findings)
    absent = _absent(missing, deploy, context, alone=not any(f.state != "advice" for f in found))
    # the rules of a service are no news where there is none
    checked: tuple[tuple[str, End], ...] = (*(c for c in checks.checked if c[0] != "service"), *own.checked, *build.checked)
    then = deploy if missing.code in MISSING else ""
    return Seen(name, context, together(found, absent), accounts(wanted, context), deploy, then=then, checked=checked)


def _build(place: Place, name: str, context: Context) -> Looked:
    """Why the newest build failed, if it did."""
    try:
        found = failed_build(place.cloud, place.region.text, made_for(name) if name else OURS, context)
    except Trouble as trouble:
        if api_disabled(trouble):  # without the API there was none
            return Looked()
        return Looked(tuple(unknown("the builds", trouble, context)), (("the newest build", "unknown"),))
    return Looked(found, (("the newest build", "finding" if found else "ok"),))


def _absent(missing: Trouble, deploy: str, context: Context, *, alone: bool) -> tuple[Finding, ...]:
    """That there is no service: the fault where nothing else is, else what becomes of the others."""
    if api_disabled(missing):
        return ()
    if missing.code not in MISSING:
        return tuple(unknown("the service", missing, context))
    first = "Deploy it, or name another service or --region." if alone else "Repair what is found first; then deploy it."
    return (
        Finding(
            code="missing-service",
            category="config",
            subcategory="service",
            title=missing.what,
            cause=f"{missing.why}.",
            remedy=first,
            fix_kind="user_action",
            commands=(deploy,),
            confidence=1.0,
            state="problem" if alone else "advice",
        ),
    )


def _deploy(place: Place, settings: Settings, name: str) -> str:
    model = settings.value("model")
    return f"gemmactl deploy {model.text if model else 'MODEL'}{f' --name {name}' if name else ''} {place.flags}"


def _wish(place: Place, settings: Settings, name: str, voice: Voice) -> Serve:
    """What gemmactl.yaml and the environment would have deployed; what nobody said as deploy's own default."""
    said = settings.value("model")
    model = parse_model(said.text) if said else None
    in_bucket = model is not None and model.kind == "gs"
    flags = {
        "project": place.project.text,
        "region": place.region.text,
        "name": name or (None if settings.value("name") or said else "gemma"),
        # of another kind it would be read, or its token asked for: neither tells anything of the project
        "model": said.text if said and in_bucket else "gs://unknown/gemma",
    }
    wish = wishes(settings, flags, voice)
    return wish if in_bucket else replace(wish, model=parse_model(SOME))
