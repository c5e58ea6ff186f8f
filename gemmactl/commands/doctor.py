"""`gemmactl doctor`: options in, one call, a Result out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemmactl.commands import options as o
from gemmactl.commands.session import session
from gemmactl.errors import Trouble, usage
from gemmactl.result import Result

if TYPE_CHECKING:
    from gemmactl.serving.mending import Keep
    from gemmactl.serving.place import Place
    from gemmactl.settings import Settings
    from gemmactl.voice import Voice


def doctor(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The service, or a fine-tune. Default: gemmactl.yaml, else the only one of ours."),
    ] = None,
    project: o.Project = None,
    region: o.Region = None,
    from_log: o.LogFile = None,
    list_: Annotated[bool, typer.Option("--list", help="List every failure and every code that is known, in groups.")] = False,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="CODE", help="Explain a code: of that list, of an error, of a JSON document."),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Plan the safe remedies, ask, and apply them.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="With --fix: deploy again what failed, once it is repaired.")] = False,
    for_admin: Annotated[bool, typer.Option("--for-admin", help="Print the findings as text for a ticket.")] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write versions, settings, findings and how it ended into FILE, redacted."),
    ] = None,
    yes: o.Yes = False,
    format: o.Format = "text",  # noqa: A002 - the flag's own name
) -> Result:
    """Say what is wrong, why, and the least that cures it.

    Exit 6 when something is found.

    Example: gemmactl doctor --project PROJECT_ID

    Example: gcloud builds submit 2>&1 | gemmactl doctor --from-log -
    """
    here = session(ctx)
    if (retry and not fix) or (fix and (for_admin or from_log is not None)):
        raise _contradiction(retry=retry, fix=fix)
    if list_ or explain is not None:
        from gemmactl.serving import knowledge

        here.voice.aim("local")
        return knowledge.explained(explain) if explain is not None else knowledge.listed()
    settings = here.settings()
    from gemmactl.serving.report import Report, reporting

    with reporting(report, Report(settings, {"project": project, "region": region}), here.voice) as told:
        if from_log is not None:
            from gemmactl.serving.findings import from_log as run_log

            here.voice.aim("local")
            result = run_log(from_log, settings, project, region, for_admin=for_admin)
        else:
            try:
                place = here.place(settings, project, region)
                result = examined(
                    place, settings, name, here.voice, told.keep, fix=fix, yes=yes, retry=retry, for_admin=for_admin
                )
            except Trouble as trouble:
                from gemmactl.serving.offline import LOGIN, without_login

                if trouble.code != LOGIN or for_admin:
                    raise
                result = without_login(trouble, settings, here.home, here.voice, project, region)
        told.ended(result)
    return result


def examined(
    place: Place,
    settings: Settings,
    name: str | None,
    voice: Voice,
    keep: Keep = lambda _known: None,
    *,
    fix: bool,
    yes: bool,
    retry: bool,
    for_admin: bool,
) -> Result:
    """A service, or where there is none that is meant, a fine-tune; where neither is to be had, the project itself."""
    from gemmactl.kernel.plan import api_disabled, not_allowed
    from gemmactl.serving.repair import repair

    try:
        return repair(place, settings, name, voice, fix=fix, yes=yes, retry=retry, for_admin=for_admin, keep=keep)
    except Trouble as none:
        if none.code not in ("service-missing", "service-none") and not not_allowed(none):
            raise
        from gemmactl.tune import repair as tuned

        try:
            return tuned.repair(place, name, voice, fix=fix, yes=yes, retry=retry, for_admin=for_admin, keep=keep)
        except Trouble as other:
            # with Cloud Storage's API off no run can be asked for: the project can
            if other.code not in ("finetune-missing", "finetune-none") and not not_allowed(other) and not api_disabled(other):
                raise
        from gemmactl.serving import unmade

        meant = name or str(none.facts.get("service", ""))
        return unmade.repair(place, settings, meant, none, voice, fix=fix, yes=yes, retry=retry, for_admin=for_admin, keep=keep)


def _contradiction(*, retry: bool, fix: bool) -> Trouble:
    if retry and not fix:
        return usage(
            "--retry needs --fix",
            why="it deploys again what --fix has repaired",
            remedy="add --fix; without a repair, run gemmactl deploy again",
            code="flags-contradict",
        )
    return usage(
        "--fix can't be combined with --from-log or --for-admin",
        why="a text is no project that could be changed, and a ticket asks somebody else",
        remedy="leave one of them out",
        code="flags-contradict",
    )
