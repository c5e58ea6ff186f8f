"""Live checks of a project and its service: the plan, the service's state, its newest log. Knows no screen; reads only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from gemmactl.doctor.diagnose import diagnose, diagnose_trouble
from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.granting import grant_finding, missing_permission
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, Step, api_disabled, decide, known
from gemmactl.kernel.resource import Resource
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import Cloud, Json, LogEntry, PolicyTarget
from inference_image.contract import LoadFailure

NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "apis": ("serviceusage.services.enable",),
    "service_account": ("iam.serviceAccounts.create",),
    "repository": ("artifactregistry.repositories.create",),
    "bucket": ("storage.buckets.create",),
    "secret": ("secretmanager.secrets.create",),
    "image": ("cloudbuild.builds.create",),
    "service": ("run.services.create", "run.services.update"),
}
"""Kind of a pending step -> what the caller needs on the project to carry it out."""
LINES: Final = 200


def examine(cloud: Cloud, stack: Sequence[Resource], *, service: str = "", context: Context | None = None) -> tuple[Finding, ...]:
    """Everything that is not as the stack wishes, and why the service does not serve.

    `service` is the full name `projects/P/locations/L/services/S`, or `` for none. A check that may not look ends as a
    finding of state `unknown` that names the missing permission. Empty: all was looked at, nothing was found.
    """
    known_facts = context or Context(project=cloud.project)
    steps, unseen = _steps(cloud, stack, known_facts)
    pending = {s.address for s in steps if s.op is not Op.KEEP}
    found = [finding for step in steps for finding in _step_finding(step, pending, cloud.project)] + unseen
    found += _caller_findings(cloud, steps, known_facts)
    if built := _build_findings(cloud, steps, known_facts):
        found = [_consequence(f) if f.code == "missing-image" and _told(built) else f for f in found] + built
    if service:
        found += _service_findings(cloud, service, known_facts)
    return tuple(_once(found))


def together(*parts: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What several looks found, each thing once, problems first, advice last."""
    ranks = {"problem": 0, "unknown": 1, "advice": 2}
    return tuple(sorted(_once([finding for part in parts for finding in part]), key=lambda f: ranks[f.state]))


def unknown(check: str, trouble: Trouble, context: Context) -> list[Finding]:
    """What a check becomes that could not look; a disabled API is itself the finding."""
    if api_disabled(trouble):
        found = diagnose_trouble(trouble, context)
        return [replace(f, title=f"an API is not enabled: {', '.join(sorted(_off(f)))}") if _off(f) else f for f in found]
    permission = str(trouble.facts.get("permission") or "")
    lacking = f"the caller lacks {permission}" if permission else trouble.why or trouble.what
    return [
        Finding(
            code="unknown",
            category="unknown",
            subcategory=check,
            title=f"{check}: unknown, {lacking}",
            cause=trouble.what,
            remedy=trouble.remedy,
            permission=permission,
            evidence=str(trouble),
            principal=context.caller,
            confidence=1.0,
            state="unknown",
        )
    ]


def _steps(cloud: Cloud, stack: Sequence[Resource], context: Context) -> tuple[list[Step], list[Finding]]:
    """Each resource by itself: one refused read must not hide the others."""

    def one(resource: Resource) -> Step | list[Finding]:
        try:
            live = resource.read(cloud)
            return decide(resource, live, known(resource, cloud) if live else None)
        except Trouble as trouble:
            return unknown(resource.address, trouble, context)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, stack))
    steps = [a for a in answers if isinstance(a, Step)]
    return steps, [f for a in answers if not isinstance(a, Step) for f in a]


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
    return [found]


def _told(found: Sequence[Finding]) -> bool:
    return any(finding.state == "problem" for finding in found)


def _consequence(missing: Finding) -> Finding:
    return replace(missing, remedy="Deploy again once what its build failed of is repaired.", state="advice")


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


def _caller_findings(cloud: Cloud, steps: Sequence[Step], context: Context) -> list[Finding]:
    """What the caller needs on the project for the steps that are due, and does not hold."""
    due = [s for s in steps if s.op in (Op.CREATE, Op.UPDATE)]
    needed = {p for s in due for p in NEEDS.get(s.resource.kind, ())}
    if not needed:
        return []
    target = PolicyTarget("project", cloud.project)
    try:
        held = cloud.policies.test(target, sorted(needed))
    except Trouble as trouble:
        return unknown("the caller's permissions", trouble, context)
    return [missing_permission(p, target, context) for p in sorted(needed - held)]


def _service_findings(cloud: Cloud, name: str, context: Context) -> list[Finding]:
    try:
        service = cloud.run.get(name)
    except Trouble as trouble:
        return unknown("the service", trouble, context)
    if service is None:
        return []
    here = replace(context, service=context.service or name.rpartition("/")[2])
    bad = _bad_condition(service)
    revision = str(service.get("latestCreatedRevision") or "")
    behind = bool(revision) and revision != str(service.get("latestReadyRevision") or "")
    found: list[Finding] = []
    if revision:
        found += _log_findings(cloud, revision, here, failed=bool(bad) or behind)
    if bad:
        message = str(bad.get("message") or "")
        told = list(diagnose(message, {}, here))
        # a probe that failed is a consequence of what the log already told
        caused = any(f.state == "problem" for f in found)
        found += [f for f in told if not caused or f.category != "container"] or ([] if caused else [_not_ready(bad, message)])
    return found


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


def _log_findings(cloud: Cloud, revision: str, context: Context, *, failed: bool) -> list[Finding]:
    leaf = revision.rpartition("/")[2]
    query = f'resource.type="cloud_run_revision" AND resource.labels.revision_name="{leaf}"'
    try:
        entries = _since_ready(cloud.logs.entries(query, newest=True, limit=LINES))
    except Trouble as trouble:
        return unknown("the log of the newest revision", trouble, context)
    for entry in reversed(entries):
        failure = LoadFailure.parse(entry.payload) if isinstance(entry.payload, dict) else None
        if failure:
            return [replace(f, evidence=f"{entry.timestamp} {f.evidence}") for f in diagnose(failure.line(), {}, context)][:1]
    if not failed:
        return []
    return printed(entries, context)


def printed(entries: Sequence[LogEntry], context: Context) -> list[Finding]:
    """What a container's log tells. What it prints is data: it may be told, it never becomes a remedy."""
    return [replace(f, remedies=()) for f in diagnose("\n".join(map(_text, entries)), {}, context)]


def _since_ready(entries: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    """What was written after a container last became ready (it then logs its timeline): an older failure is healed."""
    ready = [at for at, entry in enumerate(entries) if isinstance(entry.payload, dict) and "timeline" in entry.payload]
    return entries[ready[-1] + 1 :] if ready else entries


def _text(entry: LogEntry) -> str:
    return entry.payload if isinstance(entry.payload, str) else str(entry.payload.get("message", ""))


def _once(found: Sequence[Finding]) -> list[Finding]:
    """APIs that are off before what is behind them, problems before unknowns, each once."""
    out: dict[tuple[str, ...], Finding] = {}
    for finding in sorted(found, key=lambda f: (f.state == "unknown", -len(_off(f)))):
        if _off(finding) and any(_off(finding) <= _off(told) for told in out.values()):
            continue  # each read that met the API says so again
        cure = (finding.principal, finding.role, finding.resource)
        # a policy that lacks a binding and a container that was refused for it are one finding with two witnesses
        key = cure if all(cure) else (finding.code, *cure, finding.title)
        first = out.setdefault(key, finding)
        if first is not finding and finding.evidence not in first.evidence:
            out[key] = replace(first, evidence="\n".join(filter(None, (first.evidence, finding.evidence))))
    return list(out.values())


def _off(finding: Finding) -> frozenset[str]:
    """The APIs that a finding would have enabled."""
    return frozenset(name for remedy in finding.remedies if isinstance(remedy, Apis) for name in remedy.names)
