"""What the caller lacks for the steps that are due, by testIamPermissions on each thing. Knows no step: rights does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from gemmactl.doctor.by_data import holders
from gemmactl.doctor.checks.check import Ground, Verdict
from gemmactl.doctor.finding import Finding
from gemmactl.doctor.granting import missing_permission
from gemmactl.doctor.permissions import least_of_step
from gemmactl.kernel.plan import Op, Step
from gemmactl.resources import rights
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.needs import Need

NAME: Final = "your permissions"
Wanted = dict[tuple[str, PolicyTarget], dict[str, list[str]]]
"""Role and thing -> permission -> addresses of the steps that need it."""
SMOKE: Final = "smoke test"
LOGS: Final = "logs"
LOST: Final = {SMOKE: "the smoke test will be refused", LOGS: "what builds and starts write can't be shown"}
UNTRIED: Final = {
    True: "The deploy ends with exit code 5: the service is made, and stays closed",
    False: "The deploy ends with exit code 5: the new revision gets no requests, and the old one serves on",
}
"""Whether the service is new -> how a deploy ends whose smoke test is refused."""
SILENT: Final = "It goes on without: a build is told by its state alone, and a failure without the lines that explain it"


def check(steps: Sequence[Step], ground: Ground, unseen: Sequence[Step] = ()) -> tuple[Verdict, ...]:
    """One round of questions, all at the same time. `unseen`: steps whose live state the caller may not look at.

    First what the steps can't do without, then what goes on beside them: its lack stops nothing, and is told.
    """
    project = ground.cloud.project
    looks = {step.address: rights.reading(step.resource, project) for step in unseen}
    smoke = tuple(need for step in steps for need in rights.smoke(step))
    logs = tuple(dict.fromkeys(need for step in steps for need in rights.logs(step, project)))
    beside = {name: needs for name, needs in ((SMOKE, smoke), (LOGS, logs)) if needs}
    asked = rights.ask(steps, ground.cloud, more=looks | beside)
    told = tuple(_beside(name, needs[0], asked, steps, ground) for name, needs in beside.items())
    missing = {address: needs for address, needs in asked.missing.items() if address not in beside}
    unknown = {address: needs for address, needs in asked.unknown.items() if address not in beside}
    return (_due(steps, replace(asked, missing=missing, unknown=unknown), ground), *told)


def _due(steps: Sequence[Step], asked: rights.Rights, ground: Ground) -> Verdict:
    absent = {rights.target_of(s.resource) for s in steps if s.op is Op.CREATE or s.unknown}
    findings = tuple(_findings(asked.missing, absent, ground))
    if findings:
        return Verdict(NAME, "finding", "; ".join(f.title for f in findings), findings, held_up=frozenset(asked.missing))
    if asked.disabled:
        return _off(NAME, steps, asked)
    if asked.unknown:
        needs = sorted({str(need) for lacking in asked.unknown.values() for need in lacking})
        return Verdict(NAME, "unknown", f"unknown: could not be asked: {', '.join(needs)}")
    return Verdict(NAME, "ok", f"all that {len(steps)} steps need")


def _off(name: str, steps: Sequence[Step], asked: rights.Rights) -> Verdict:
    coming = {one for step in steps if isinstance(step.resource, Apis) for one in step.resource.names}
    off = sorted(asked.disabled, key=lambda one: (one not in coming, one))
    said = f"unknown until {', '.join(off)} {'is' if len(off) == 1 else 'are'} enabled"
    return Verdict(name, "unknown", said, api=off[0])  # the one to wait for: the steps themselves enable it


def _beside(name: str, need: Need, asked: rights.Rights, steps: Sequence[Step], ground: Ground) -> Verdict:
    """What is lost without a right that no step needs: told before, never taken for had."""
    if name in asked.unknown:
        return _off(name, steps, asked) if asked.disabled else Verdict(name, "unknown", f"unknown: could not be asked: {need}")
    if name not in asked.missing:
        return Verdict(name, "ok", f"you have {need}")
    new = next((s.op is Op.CREATE for s in steps if rights.target_of(s.resource) == need.target), False)
    # a thing that is still to be made has no policy: the role is had on the project
    where = PolicyTarget("project", ground.cloud.project) if new else need.target
    told = SILENT if name == LOGS else UNTRIED[new]
    found = missing_permission(need.permission, where, ground.context)
    finding = replace(found, title=f"{found.title}: {LOST[name]}", cause=told, remedy=f"{told}.", state="advice")
    return Verdict(name, "finding", finding.title, (finding,))


def _findings(missing: Mapping[str, tuple[Need, ...]], absent: set[PolicyTarget | None], ground: Ground) -> Iterator[Finding]:
    """One for each role and thing: three permissions of one role are one request to an administrator."""
    project = PolicyTarget("project", ground.cloud.project)
    together: Wanted = {}
    for address, needs in missing.items():
        for need in needs:
            choice = least_of_step(need.permission)
            on_project = need.target in absent or (choice is not None and choice.scope == "project")
            role = choice.role if choice else need.permission
            wanted = together.setdefault((role, project if on_project else need.target), {})
            wanted.setdefault(need.permission, []).append(address)
    for (_, where), wanted in _fewest(together).items():
        permission = next(iter(wanted))
        first = missing_permission(permission, where, ground.context)
        yield replace(
            first,
            title=first.title.replace(permission, ", ".join(wanted)),
            cause=f"Needed for: {', '.join(dict.fromkeys(a for addresses in wanted.values() for a in addresses))}.",
            remedy="Ask an administrator for the role; `gemmactl plan --for-admin` prints all that has to be run.",
            confidence=0.9,
        )


def _fewest(together: Wanted) -> Wanted:
    """Without a role all of which another one brings that is asked for on the same thing: who builds may look at builds."""
    left = {key: dict(wanted) for key, wanted in together.items()}
    for key in together:
        role, where = key
        others = (other for other in left if other[1] == where and other[0] != role)
        if wider := next((other for other in others if all(_holds(other[0], one) for one in left[key])), None):
            left[wider] |= left.pop(key)
    return left


def _holds(role: str, permission: str) -> bool:
    return any(holder.role == role for holder in holders(permission))
