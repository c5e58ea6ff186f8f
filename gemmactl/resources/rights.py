"""What the caller must be allowed for each step: permissions, each on one thing. Knows no role and no screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, Step, api_disabled
from gemmactl.kernel.resource import Resource
from gemmactl.resources import needs as calls
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.cloud import Cloud, PolicyTarget
from gemmactl.resources.execution import Execution
from gemmactl.resources.image import Image
from gemmactl.resources.job import Job
from gemmactl.resources.needs import Need
from gemmactl.resources.repository import Repository
from gemmactl.resources.secret import Secret
from gemmactl.resources.service import Service
from gemmactl.resources.service_account import ServiceAccount
from inference_image.contract import ENV_MODEL

BORN: Final[Mapping[str, frozenset[str]]] = {"bucket": frozenset({"storage.buckets.create", "resourcemanager.projects.update"})}
"""Kind -> what tells that its maker owns it. Owners and editors of a project hold no right on buckets there: they get it by the
bindings that a new bucket is born with (Cloud Storage, convenience values). Both roles hold these two; no narrower one does."""
INVOKE: Final = "run.routes.invoke"
"""What the smoke test and `gemmactl generate` need of a private service."""
READ_LOGS: Final = "logging.logEntries.list"
"""What the lines of a build, of a start and of a failure are read with."""


OUTSIDE: Final = "INGRESS_TRAFFIC_ALL"
"""The ingress that lets a request from here in."""


@dataclass(frozen=True)
class Rights:
    """Address of a step -> what the caller lacks for it, and what could not be asked (never the same as granted)."""

    missing: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    unknown: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    """APIs whose being disabled hides what is unknown."""


def needed(step: Step, project: str) -> tuple[Need, ...]:
    """What carrying out a step needs, its own looks at what it writes included. A step that changes nothing needs nothing.

    Source: the permissions that each API's reference names for the methods that `gemmactl/gcp` calls; the sandbox asks for
    the same, and a test takes each of them away.
    """
    match step.op:
        case Op.CREATE | Op.UPDATE:
            return tuple(dict.fromkeys(calls.write(step, PolicyTarget("project", project))))
        case Op.DELETE:
            return tuple(dict.fromkeys(calls.delete(step.resource, PolicyTarget("project", project))))
        case _:
            return ()


def reading(resource: Resource, project: str) -> tuple[Need, ...]:
    """What looking at a resource needs, before any step of it is known."""
    return tuple(dict.fromkeys(calls.read(resource, PolicyTarget("project", project))))


def smoke(step: Step) -> tuple[Need, ...]:
    """What the smoke test after a step needs of the caller: nothing where none is made, or where the service asks nobody.

    A service is tried before it is opened, so what counts is how it is now: one that is to be opened is still closed.
    """
    service, live = step.resource, step.live
    if step.op not in (Op.CREATE, Op.UPDATE) or not isinstance(service, Service):
        return ()
    named = {entry.name for box in service.containers or () for entry in box.env or ()}
    waits = service.rollout is None or service.rollout.wait
    outside = (service.ingress or (live.ingress if isinstance(live, Service) else None) or OUTSIDE) == OUTSIDE
    asks = not (isinstance(live, Service) and live.invoker_iam_disabled)
    tried = ENV_MODEL in named and waits and outside and asks
    return (Need(PolicyTarget("service", service.full_name), INVOKE),) if tried else ()


def logs(step: Step, project: str) -> tuple[Need, ...]:
    """What following a step by its log needs of the caller."""
    written = isinstance(step.resource, Image | Service | Execution) and step.op in (Op.CREATE, Op.UPDATE)
    return (Need(PolicyTarget("project", project), READ_LOGS),) if written else ()


def target_of(resource: Resource) -> PolicyTarget | None:
    """The thing with a policy of its own that a resource is, or None."""
    match resource:
        case ServiceAccount():
            return PolicyTarget("service_account", resource.email)
        case Repository():
            return PolicyTarget("repository", resource.full_name)
        case Bucket():
            return PolicyTarget("bucket", resource.name)
        case Secret():
            return PolicyTarget("secret", resource.full_name)
        case Service():
            return PolicyTarget("service", resource.full_name)
        case Job():
            return PolicyTarget("job", resource.full_name)
        case _:
            return None


def missing(steps: Sequence[Step], cloud: Cloud) -> dict[str, tuple[Need, ...]]:
    """Address -> what the caller lacks for that step. What can't be asked is not in it: `ask` tells it apart."""
    return dict(ask(steps, cloud).missing)


def ask(steps: Sequence[Step], cloud: Cloud, more: Mapping[str, Iterable[Need]] | None = None) -> Rights:
    """Ask each thing once, all at the same time, which of the permissions the caller holds there (testIamPermissions).

    A thing that the same steps are still to make has no policy yet: its project is asked. `more`: further needs by an
    address of the caller's own choice.
    """
    wanted = {step.address: needed(step, cloud.project) for step in steps} | {
        a: tuple(more_needs) for a, more_needs in (more or {}).items()
    }
    absent = {target_of(s.resource) for s in steps if s.op is Op.CREATE or s.unknown} - {None}
    asked: dict[PolicyTarget, set[str]] = {}
    for need in {need for needs in wanted.values() for need in needs}:
        place = _place(need, absent, cloud.project)
        asked.setdefault(place, set()).add(need.permission)
        if place != need.target:
            asked[place] |= BORN.get(need.target.kind, frozenset())
    with ThreadPoolExecutor(max(1, min(16, len(asked)))) as pool:
        told = dict(zip(asked, pool.map(lambda place: _held(cloud, place, asked[place]), asked), strict=True))
    answers = {place: held for place, (held, _) in told.items()}
    lacking: dict[str, tuple[Need, ...]] = {}
    silent: dict[str, tuple[Need, ...]] = {}
    for address, needs in wanted.items():
        held = {need: _of_a_creator(need, answers[_place(need, absent, cloud.project)], absent) for need in needs}
        if without := tuple(need for need, found in held.items() if found is not None and need.permission not in found):
            lacking[address] = without
        if unasked := tuple(need for need, found in held.items() if found is None):
            silent[address] = unasked
    return Rights(lacking, silent, frozenset(api for _, api in told.values() if api))


def _place(need: Need, absent: set[PolicyTarget | None], project: str) -> PolicyTarget:
    return PolicyTarget("project", project) if need.target in absent else need.target


def _of_a_creator(need: Need, held: frozenset[str] | None, absent: set[PolicyTarget | None]) -> frozenset[str] | None:
    """What the caller will hold on a thing once these steps have made it."""
    born = BORN.get(need.target.kind)
    own = held is not None and need.target in absent and born is not None and born <= held
    return frozenset({need.permission}) | (held or frozenset()) if own else held


def _held(cloud: Cloud, place: PolicyTarget, permissions: set[str]) -> tuple[frozenset[str] | None, str]:
    """What is held there, None where it could not be asked (which is not "missing"), and the API that is off."""
    try:
        return cloud.policies.test(place, sorted(permissions)), ""
    except Trouble as trouble:
        return None, str(trouble.facts.get("service") or trouble.facts.get("api") or "") if api_disabled(trouble) else ""
