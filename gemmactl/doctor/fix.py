"""--fix: remedies as a plan through the kernel, then the same question again until it holds. Knows no text and no screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gemmactl.doctor.finding import Finding
from gemmactl.doctor.granting import undo
from gemmactl.doctor.permissions import TABLE
from gemmactl.doctor.principal import is_member
from gemmactl.errors import Trouble, refused
from gemmactl.kernel import apply as kernel_apply
from gemmactl.kernel import plan as kernel_plan
from gemmactl.kernel.apply import Outcome, Patience
from gemmactl.kernel.events import Events, Progress, silent
from gemmactl.kernel.plan import Op, Plan, Step, agrees
from gemmactl.kernel.resource import Clock, Resource
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import Cloud
from gemmactl.resources.iam_member import IamMember

_OF_STACKS: Final = {"roles/storage.legacyBucketReader", "roles/run.invoker"}
"""What a deploy grants itself although it is the least of nothing: the streamer of vLLM asks for it; Cloud Run's own word."""
GRANTABLE: Final = frozenset(
    {choice.role for choice in TABLE.values()} | {"roles/run.builder", "roles/run.serviceAgent"} | _OF_STACKS
)
"""Roles that may be granted at all: the curated ones. Never owner, editor, viewer or a custom role."""
ADMIN_ALLOWED: Final = frozenset({("roles/run.admin", "service")})
"""Admin roles that are the least for something, and where."""
KINDS: Final = frozenset({"iam_member", "apis"})
"""What a remedy may be. A service or a bucket is made by deploy, not by doctor."""


@dataclass(frozen=True)
class Proposal:
    """What would be done, to be shown and confirmed; `refused` are remedies that no `--fix` applies, with why."""

    plan: Plan
    permissions: dict[str, frozenset[str]] = field(default_factory=dict)
    """Address of a grant -> permissions that must hold afterwards."""
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Fixed:
    """What became of it. `undo`: gcloud lines that take back what is new; `waiting`: granted, but not seen to hold yet."""

    outcome: Outcome
    holds: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.outcome.ok and not self.waiting


def why_not(remedy: Resource, members: Collection[str]) -> str:
    """Why a remedy must not be applied, or ``. `members`: the accounts that this project and caller are known to use."""
    if remedy.kind not in KINDS:
        return "deploy makes this, not doctor"
    if not isinstance(remedy, IamMember):
        return ""
    if not is_member(remedy.member):
        return f"{remedy.member} is no single account; a grant to everybody, or to nobody known, is never made"
    if remedy.member not in members:
        return f"{remedy.member} is none of the accounts of this deploy; a text alone does not make it one"
    if remedy.role not in GRANTABLE:
        return f"{remedy.role} is broader than any known failure needs"
    if re.search(r"admin", remedy.role, re.IGNORECASE) and (remedy.role, remedy.target.kind) not in ADMIN_ALLOWED:
        return f"{remedy.role} is an administrator's role: an administrator grants it by hand"
    return ""


def propose(
    cloud: Cloud,
    findings: Sequence[Finding],
    members: Collection[str],
    *,
    make_plan: Callable[[Sequence[Resource], Any], Plan] = kernel_plan.make_plan,
) -> Proposal:
    """The plan of all remedies that may be applied.

    Raises:
        Trouble: the policies can't be read.
    """
    wanted: dict[str, Resource] = {}
    denied: list[tuple[str, str]] = []
    permissions: dict[str, frozenset[str]] = {}
    for finding in findings:
        for remedy in finding.remedies if finding.safe else ():
            if why := why_not(remedy, members):
                denied.append((remedy.address, why))
                continue
            wanted.setdefault(remedy.address, _alone(remedy))
            if finding.permission:
                permissions[remedy.address] = permissions.get(remedy.address, frozenset()) | {finding.permission}
    return Proposal(make_plan(tuple(wanted.values()), cloud), permissions, tuple(dict.fromkeys(denied)))


def _alone(remedy: Resource) -> Resource:
    """Without its place in a stack: what it needs is there already, else it would not have become a remedy."""
    return replace(remedy, after=()) if isinstance(remedy, IamMember | Apis) else remedy


def carry_out(
    proposal: Proposal,
    cloud: Cloud,
    *,
    clock: Clock | None = None,
    patience: Patience | None = None,
    events: Events = silent,
    apply: Callable[..., Outcome] = kernel_apply.apply,
) -> Fixed:
    """Apply the proposal and ask again until it holds.

    Raises:
        Trouble: (refused) there is nothing that may be applied.
    """
    clock, patience = clock or Clock(), patience or Patience()
    if not proposal.plan.work:
        raise refused(
            "there is nothing that doctor may fix by itself",
            why="; ".join(why for _, why in proposal.refused) or "every remedy is in place already",
            remedy="follow the printed remedies, or have an administrator run the printed commands",
            code="nothing-to-fix",
        )
    outcome = apply(proposal.plan, cloud, events=events, clock=clock, patience=patience)
    made = [s.resource for s in proposal.plan.work if s.address in outcome.done]
    holds, waiting = _until_it_holds(made, proposal, cloud, clock, patience, events)
    done = [s for s in proposal.plan.work if s.address in outcome.done]
    return Fixed(outcome, tuple(holds), tuple(waiting), tuple(line for s in done if (line := _undo(s, cloud.project))))


def _undo(step: Step, project: str) -> str:
    """The line that takes a step back, or ``: a binding that was made, APIs that were off before."""
    match step.resource:
        case IamMember() as grant if step.op is Op.CREATE:
            return undo(grant)
        case Apis(names=names):
            before = step.live.names if isinstance(step.live, Apis) else ()
            new = " ".join(name for name in names if name not in before)
            return f"gcloud services disable {new} --project={project}  # only if nothing else uses it" if new else ""
        case _:
            return ""


def _until_it_holds(
    made: Sequence[Resource], proposal: Proposal, cloud: Cloud, clock: Clock, patience: Patience, events: Events
) -> tuple[list[str], list[str]]:
    """IAM is eventually consistent: a written policy is not yet a permission that holds."""
    until = clock.now() + patience.total
    pause = patience.first
    open_, held = list(made), []
    while open_:
        now = [r for r in open_ if _holds(r, proposal.permissions.get(r.address, frozenset()), cloud)]
        held += [r.address for r in now]
        open_ = [r for r in open_ if r not in now]
        if not open_ or clock.now() + pause > until:
            break
        for resource in open_:
            events(Progress(resource.address, "granted; waiting until it holds (2 to 7 minutes are normal)"))
        clock.sleep(pause)
        pause = min(pause * patience.factor, patience.longest)
    return held, [r.address for r in open_]


def _holds(remedy: Resource, permissions: frozenset[str], cloud: Cloud) -> bool:
    """The binding is in the policy, and where it can be asked (only the caller can), the permission is held."""
    try:
        live = remedy.read(cloud)
        granted = live is not None and agrees(remedy, live)
        if granted and isinstance(remedy, IamMember) and permissions and remedy.member == cloud.caller():
            return permissions <= cloud.policies.test(remedy.target, sorted(permissions))
    except Trouble:
        return False
    return granted
