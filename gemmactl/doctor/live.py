"""Live checks of a project and its service: the plan, the service's state, its newest log. Knows no screen; reads only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gemmactl.doctor import last_start, served, there
from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.granting import grant_finding
from gemmactl.doctor.several import once, unknown
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, Step, api_disabled, decide, known
from gemmactl.kernel.resource import Resource
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import Cloud, Json, LogEntry

if TYPE_CHECKING:
    from gemmactl.doctor.checks.check import End, Verdict

ERRORS: Final = "the newest errors while it served"


@dataclass(frozen=True)
class Looked:
    """What a look found, and how each question of it ended; what is not in `checked` was not asked."""

    findings: tuple[Finding, ...] = ()
    checked: tuple[tuple[str, End], ...] = ()


def examine(cloud: Cloud, stack: Sequence[Resource], *, service: str = "", context: Context | None = None) -> tuple[Finding, ...]:
    """What `looked` finds."""
    return looked(cloud, stack, service=service, context=context).findings


def looked(
    cloud: Cloud,
    stack: Sequence[Resource],
    *,
    service: str = "",
    context: Context | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Looked:
    """Everything that is not as the stack wishes, and why the service does not serve.

    `service` is the full name `projects/P/locations/L/services/S`, or `` for none. A check that may not look ends as a
    finding of state `unknown` that names the missing permission. No finding: all was looked at, nothing was found.
    """
    known_facts = context or Context(project=cloud.project)
    answers = _steps(cloud, stack, known_facts)
    steps = [step for step, hidden in answers if not hidden]
    pending = {s.address for s in steps if s.op is not Op.KEEP}
    told = [(step.address, hidden or _step_finding(step, pending, cloud.project)) for step, hidden in answers]
    found = [f for (_, own), (_, hidden) in zip(told, answers, strict=True) if not hidden for f in own]
    found += [f for _, hidden in answers for f in hidden]
    mine, held_up = _caller_findings(cloud, stack, [step for step, _ in answers if not step.unknown], known_facts)
    for step in steps:  # the stack names what a step stands on before it
        held_up |= {step.address} if held_up & set(step.resource.needs) else set()
    found = [_forbidden(f) if f.resource in held_up else f for f in found] + (mine or [])
    built = _build_findings(cloud, steps, known_facts)
    if built:
        found = [_consequence(f) if f.code == "missing-image" and _told(built) else f for f in found] + built
    checked = [(address, _end(own)) for address, own in told] + ([("your permissions", _end(mine))] if mine is not None else [])
    if service:
        parts = _service_findings(cloud, service, known_facts, now)
        found += [f for _, own in parts for f in own]
        checked += [(name, _end(own)) for name, own in parts]
    return Looked(tuple(once(found)), tuple(checked))


def beforehand(cloud: Cloud, stack: Sequence[Resource], context: Context) -> Looked:
    """The same where nothing was deployed: what is not there yet is no fault, what would keep a deploy from making it is."""
    answers = _steps(cloud, stack, context)
    found: list[Finding] = []
    checked: list[tuple[str, End]] = []
    for step, hidden in answers:
        standing = isinstance(step.resource, Apis) or step.op is Op.BLOCKED
        own = hidden or (_step_finding(step, set(), cloud.project) if standing else [])
        found += own
        if own or standing or step.op is Op.KEEP:
            checked.append((step.address, _end(own)))
    mine, _ = _caller_findings(cloud, stack, [step for step, _ in answers], context)
    if mine is not None:
        checked.append(("your permissions", _end(mine)))
    return Looked(tuple(once([*found, *(mine or [])])), tuple(checked))


def _end(found: Sequence[Finding]) -> End:
    if not found:
        return "ok"
    return "unknown" if all(f.state == "unknown" for f in found) else "finding"


def _steps(cloud: Cloud, stack: Sequence[Resource], context: Context) -> list[tuple[Step, list[Finding]]]:
    """Each resource by itself, with why it could not be read: one refused read must not hide the others."""

    def one(resource: Resource) -> tuple[Step, list[Finding]]:
        try:
            live = resource.read(cloud)
            return decide(resource, live, known(resource, cloud) if live else None), []
        except Trouble as trouble:
            off = api_disabled(trouble)
            step = Step(Op.CREATE, resource, unknown=True) if off else Step(Op.UNSEEN, resource)
            return step, unknown(resource.address, trouble, context)

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(one, stack))


def _step_finding(step: Step, pending: set[str], project: str) -> list[Finding]:
    from gemmactl.resources.iam_member import IamMember

    if step.op is Op.KEEP:
        return []
    wanted = step.resource
    if isinstance(wanted, IamMember):
        found = grant_finding(wanted)
        # the account or the thing itself is still to be made: only a deploy can do both in order
        return [replace(found, remedies=()) if pending & set(wanted.needs) else found]
    differs = "; ".join(f"{c.field}: is {c.live}, should be {c.wanted}" for c in step.changes)
    if isinstance(wanted, Apis):
        live = step.live.names if isinstance(step.live, Apis) else ()
        missing = tuple(n for n in wanted.names if n not in live)
        return [
            Finding(
                code="api-disabled",
                category="api_billing",
                subcategory="api_disabled",
                title=f"{'an API is' if len(missing) == 1 else f'{len(missing)} APIs are'} not enabled: {', '.join(missing)}",
                cause="They were never enabled, or were disabled since.",
                remedy="Enable them; a minute or two later they work.",
                fix_kind="enable_api",
                commands=(f"gcloud services enable {' '.join(missing)} --project={project}",),
                remedies=(Apis(missing),),
                confidence=1.0,
            )
        ]
    what = {Op.CREATE: "does not exist", Op.BLOCKED: "differs and can't be changed in place"}.get(step.op, "differs")
    found = Finding(
        code=f"{'missing' if step.op is Op.CREATE else 'differs'}-{wanted.kind.replace('_', '-')}",
        category="config",
        subcategory=wanted.kind,
        title=f"{wanted.address} {what}",
        cause=differs or "It was never made, or somebody removed it.",
        remedy=step.note or "Run the same deploy again: it makes what is missing and corrects what differs.",
        resource=wanted.address,
        fix_kind="config_change",
        confidence=1.0,
    )
    if step.op is not Op.BLOCKED and (first := sorted(pending & set(wanted.needs))):
        # a consequence: what it stands on is wrong itself, and is told as the problem
        return [replace(found, remedy=f"Deploy again once this is repaired: {', '.join(first)}.", state="advice")]
    # that its newest revision did not become ready is no wish that another deploy of the same would fulfil
    wishes = step.op is Op.CREATE or any(c.field not in ("ready", "tested") for c in step.changes)
    return [replace(found, redeploys=step.op is not Op.BLOCKED and wishes)]


def _told(found: Sequence[Finding]) -> bool:
    return any(finding.state == "problem" for finding in found)


def _consequence(missing: Finding) -> Finding:
    return replace(missing, remedy="Deploy again once what its build failed of is repaired.", state="advice")


def _forbidden(due: Finding) -> Finding:
    """What a step would make or correct, which the caller may not do: his lack of a right is the problem."""
    made = due.state == "problem" and due.code.startswith(("missing-", "differs-")) and due.code != "missing-grant"
    return replace(due, remedy="Deploy again once you may: what you lack for it is told.", state="advice") if made else due


def _build_findings(cloud: Cloud, steps: Sequence[Step], context: Context) -> list[Finding]:
    """Why an image that is not there could not be built."""
    from gemmactl.doctor.builds import failed_build
    from gemmactl.resources.image import Image

    found: list[Finding] = []
    for image in (s.resource for s in steps if s.op is Op.CREATE and isinstance(s.resource, Image)):
        try:
            found += failed_build(cloud, image.region, image.mark, context)
        except Trouble as trouble:
            found += unknown("the builds", trouble, context)
    return found


def _caller_findings(
    cloud: Cloud, stack: Sequence[Resource], steps: Sequence[Step], context: Context
) -> tuple[list[Finding] | None, frozenset[str]]:
    """What the caller lacks for the steps that are due, asked as plan asks it, and the steps that it holds up.

    None: no step is due.
    """
    due = [s for s in steps if s.op in (Op.CREATE, Op.UPDATE)]
    hidden = [s for s in steps if s.op is Op.UNSEEN and not s.resource.by_others]
    if not due and not hidden:
        return None, frozenset()
    from gemmactl.doctor.checks import rights
    from gemmactl.doctor.checks.check import Ground

    verdicts = rights.check(due, Ground(cloud, tuple(stack), context=context), hidden)
    held_up = frozenset(address for verdict in verdicts for address in verdict.held_up)
    return [found for verdict in verdicts for found in _of_rights(verdict)], held_up


def _of_rights(verdict: Verdict) -> list[Finding]:
    if verdict.end != "unknown":
        return list(verdict.findings)
    cause = "Without an answer it is not known whether the steps that are due would be refused."
    remedy = "Look again once the APIs are enabled." if verdict.api else "Ask again; `gemmactl plan --explain` asks the same."
    blank = Finding("unknown", "unknown", f"{verdict.check}: {verdict.seen}", cause, remedy, subcategory=verdict.check)
    return [replace(blank, confidence=1.0, state="advice" if verdict.api else "unknown")]


def _service_findings(cloud: Cloud, name: str, context: Context, now: Callable[[], datetime]) -> list[tuple[str, list[Finding]]]:
    """What its state tells, what the log of its newest revision does, and the errors of those that serve."""
    try:
        service = cloud.run.get(name)
    except Trouble as trouble:
        return [("the service's state", unknown("the service", trouble, context))]
    if service is None:
        return []
    here = replace(context, service=context.service or name.rpartition("/")[2])
    bad = _bad_condition(service)
    revision = str(service.get("latestCreatedRevision") or "")
    behind = bool(revision) and revision != str(service.get("latestReadyRevision") or "")
    with ThreadPoolExecutor(1) as pool:
        errors = pool.submit(_errors, cloud, served.serving(service), here)
        logged, ready = last_start.log_findings(cloud, revision, here, failed=bool(bad) or behind) if revision else ([], "")
        hidden, lines = errors.result()
    state: list[Finding] = []
    if bad:
        message = str(bad.get("message") or "")
        told = there.checked(diagnose(message, {}, here), cloud)
        # a probe that failed is a consequence of what the log already told
        caused = any(f.state == "problem" for f in logged)
        state = [f for f in told if not caused or f.category != "container"] or ([] if caused else [_not_ready(bad, message)])
    log = [("the log of the newest revision", logged)] if revision else []
    if hidden is None:
        failed = served.judged(lines, "" if behind else ready, here, now())
        return [*log, ("the service's state", state), (ERRORS, served.beside(failed, (*logged, *state)))]
    blind = any(f.state == "unknown" for f in logged)
    return [*log, ("the service's state", state), *([] if blind else [(ERRORS, hidden)])]


def _errors(cloud: Cloud, revisions: Sequence[str], context: Context) -> tuple[list[Finding] | None, tuple[LogEntry, ...]]:
    """The newest error lines, or the finding that they can't be read."""
    try:
        return None, served.newest_errors(cloud, revisions) if revisions else ()
    except Trouble as trouble:
        return unknown(ERRORS, trouble, context), ()


def _not_ready(condition: Json, message: str) -> Finding:
    reason = str(condition.get("revisionReason") or condition.get("reason") or "")
    return Finding(
        code="service-not-ready",
        category="container",
        subcategory=reason.lower(),
        title="The service is not ready",
        cause=message or reason or "Cloud Run gave no reason.",
        remedy="Read the newest revision's log: `gemmactl logs`.",
        evidence=message,
        fix_kind="diagnose",
        confidence=0.7,
    )


def _bad_condition(service: Json) -> Json | None:
    conditions = [service.get("terminalCondition") or {}, *(service.get("conditions") or [])]
    return next((c for c in conditions if c.get("state") == "CONDITION_FAILED"), None)
