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
from gemmactl.resources import rights
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import Cloud
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.needs import Need

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


TOKENS: Final = "iam.serviceAccounts.getAccessToken"
"""What acting as an account takes."""
REREAD: Final = "the policy was read again"
"""How the proof of a grant begins that nobody could test."""


@dataclass(frozen=True)
class Proposal:
    """What would be done, to be shown and confirmed; `refused` are remedies that no `--fix` applies, with why.

    `admin`: findings whose remedy is right, and not the caller's to apply: text for a ticket.
    """

    plan: Plan
    permissions: dict[str, frozenset[str]] = field(default_factory=dict)
    """Address of a grant -> permissions that must hold afterwards."""
    refused: tuple[tuple[str, str], ...] = ()
    admin: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Fixed:
    """What became of it. `undo`: gcloud lines that take back what is new; `waiting`: granted, but not seen to hold yet."""

    outcome: Outcome
    holds: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    proof: dict[str, str] = field(default_factory=dict)
    """Address -> how it was seen: a permission that was tested, or only a policy that was read again."""

    @property
    def ok(self) -> bool:
        return self.outcome.ok and not self.waiting

    @property
    def untested(self) -> tuple[str, ...]:
        """What is in the policy, and whose permission could not be tested."""
        return tuple(address for address in self.holds if self.proof.get(address, "").startswith(REREAD))


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
    if re.search(r"admin|owner", remedy.role, re.IGNORECASE) and (remedy.role, remedy.target.kind) not in ADMIN_ALLOWED:
        return f"{remedy.role} is an administrator's role: an administrator grants it by hand"
    return ""


def propose(
    cloud: Cloud,
    findings: Sequence[Finding],
    members: Collection[str],
    *,
    make_plan: Callable[[Sequence[Resource], Any], Plan] = kernel_plan.make_plan,
) -> Proposal:
    """The plan of all remedies that may be applied, and that the caller may apply: a grant is never begun to fail midway.

    Raises:
        Trouble: the policies can't be read.
    """
    wanted: dict[str, Resource] = {}
    denied: list[tuple[str, str]] = []
    permissions: dict[str, frozenset[str]] = {}
    sources: dict[str, list[Finding]] = {}
    for finding in findings:
        for remedy in finding.remedies if finding.safe else ():
            if why := why_not(remedy, members):
                denied.append((remedy.address, why))
                continue
            wanted[remedy.address] = _joined(wanted.get(remedy.address), _alone(remedy))
            sources.setdefault(remedy.address, []).append(finding)
            if finding.permission:
                permissions[remedy.address] = permissions.get(remedy.address, frozenset()) | {finding.permission}
    plan = make_plan(tuple(wanted.values()), cloud)
    lacking = rights.missing(plan.work, cloud)
    denied += [(address, _may_not(needs)) for address, needs in lacking.items()]
    asked = dict.fromkeys(finding for address in lacking for finding in sources[address])
    mine = replace(plan, steps=tuple(s for s in plan.steps if s.address not in lacking))
    return Proposal(mine, permissions, tuple(dict.fromkeys(denied)), tuple(asked))


def _may_not(needs: Sequence[Need]) -> str:
    lacks = ", ".join(dict.fromkeys(str(need) for need in needs))
    return f"you may not: {lacks} is missing; somebody who may has to run the printed command"


def _joined(first: Resource | None, remedy: Resource) -> Resource:
    """Two findings that each miss an API are one step that enables both."""
    if isinstance(first, Apis) and isinstance(remedy, Apis):
        return Apis((*first.names, *remedy.names))
    return first or remedy


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
    done = [s for s in proposal.plan.work if s.address in outcome.done]
    proof, waiting = _until_it_holds([s.resource for s in done], proposal, cloud, clock, patience, events)
    undone = tuple(line for s in done if (line := _undo(s, cloud.project)))
    return Fixed(outcome, tuple(proof), tuple(waiting), undone, proof)


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
) -> tuple[dict[str, str], list[str]]:
    """Address -> how it was seen to hold, and what was not: a written policy is not yet a permission that holds.

    Ctrl-C ends the waiting, never the account of what was made.
    """
    until = clock.now() + patience.total
    pause = patience.first
    open_ = list(made)
    proof: dict[str, str] = {}
    try:
        while open_:
            seen = {r.address: _proof(r, proposal.permissions.get(r.address, frozenset()), cloud) for r in open_}
            proof |= {address: how for address, how in seen.items() if how}
            open_ = [r for r in open_ if r.address not in proof]
            if not open_ or clock.now() + pause > until:
                break
            for resource in open_:
                events(Progress(resource.address, "granted; waiting until it holds (2 to 7 minutes are normal)"))
            clock.sleep(pause)
            pause = min(pause * patience.factor, patience.longest)
    except KeyboardInterrupt:
        pass
    return proof, [r.address for r in open_ if r.address not in proof]


def _proof(remedy: Resource, permissions: frozenset[str], cloud: Cloud) -> str:
    """How it is seen to hold, or `` when it is not: the very question that found it, asked again.

    A permission is tested where it can be: the caller's own, or that of an account that he may act as. The policy of anybody
    else can only be read again.
    """
    try:
        live = remedy.read(cloud)
        if live is None or not agrees(remedy, live):
            return ""
        if not isinstance(remedy, IamMember):
            return "it is enabled"
        if not permissions:
            return f"{REREAD}, not tested: no single permission stands for this role"
        if remedy.member == cloud.caller():
            return "you hold it, by a test" if permissions <= cloud.policies.test(remedy.target, sorted(permissions)) else ""
    except Trouble:
        return ""
    return _proof_of_another(remedy, permissions, cloud)


def _proof_of_another(grant: IamMember, permissions: frozenset[str], cloud: Cloud) -> str:
    kind, _, email = grant.member.partition(":")
    if kind != "serviceAccount":
        return f"{REREAD}, not tested: only {email} can ask for it"
    try:
        held = cloud.policies.held_by(email, grant.target, sorted(permissions))
    except Trouble as trouble:
        barred = trouble.facts.get("permission") == TOKENS
        return f"{REREAD}, not tested: {f'you may not act as {email}' if barred else trouble.what}"
    return f"{email} holds it, by a test as that account" if permissions <= held else ""
