"""Which part of a plan another hand does: steps that the caller may not, and roles that he lacks. Knows no form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gemmactl.doctor.permissions import least_of_step
from gemmactl.kernel.plan import Op, Plan, Step
from gemmactl.resources import rights
from gemmactl.resources.cloud import Cloud, PolicyTarget
from gemmactl.resources.execution import Execution
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.job import Job
from gemmactl.resources.needs import Need
from gemmactl.resources.rights import target_of
from gemmactl.spec import Serve
from gemmactl.tune_spec import Tune

CALLERS: Final = frozenset(
    {"data_file", "execution", "image", "job", "model_files", "pin", "run_document", "service", "stored_model"}
)
"""Kinds that the caller always carries out: an administrator has neither the files nor the wish to build and deploy."""
CALLER: Final = "$CALLER"
"""Stands for the member who deploys."""

_ONE_FOR_ALL: Final[Mapping[str, str]] = {
    "run.services.create": "roles/run.developer",
    "run.services.update": "roles/run.developer",
    "run.services.get": "roles/run.developer",
    "run.jobs.create": "roles/run.developer",
    "run.jobs.update": "roles/run.developer",
    "run.jobs.get": "roles/run.developer",
    "run.jobs.run": "roles/run.developer",
    "run.executions.get": "roles/run.developer",
    "run.executions.list": "roles/run.developer",
    "run.operations.get": "roles/run.developer",
    "run.routes.invoke": "roles/run.developer",
    "cloudbuild.builds.create": "roles/cloudbuild.builds.editor",
    "cloudbuild.builds.get": "roles/cloudbuild.builds.editor",
    "cloudbuild.builds.list": "roles/cloudbuild.builds.editor",
}
"""Where a deploy makes several calls of one service: one role for all of them, not one for each."""
_BY_ITSELF: Final = (
    "run.services.setIamPolicy",
    "iam.serviceAccounts.actAs",
    "artifactregistry.tags.get",
    "artifactregistry.repositories.downloadArtifacts",
    "storage.buckets.get",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.create",
    "storage.objects.delete",
    "secretmanager.secrets.get",
    "secretmanager.versions.list",
    "secretmanager.versions.add",
    "serviceusage.services.use",
    "resourcemanager.projects.get",
    "logging.logEntries.list",
)
"""The rest have the role that preflight and doctor name as well."""
_NAMED: Final = {permission: choice.role for permission in _BY_ITSELF if (choice := least_of_step(permission)) is not None}
ROLES: Final[Mapping[str, str]] = {**_ONE_FOR_ALL, **_NAMED}
"""Permission of the caller's -> the least predefined role that a deploy gets it by."""
COVERS: Final[Mapping[str, frozenset[str]]] = {
    "roles/run.developer": frozenset({"resourcemanager.projects.get"}),
    "roles/run.admin": frozenset(p for p in ROLES if p.startswith("run.")) | {"resourcemanager.projects.get"},
    "roles/cloudbuild.builds.editor": frozenset({"resourcemanager.projects.get"}),
    "roles/storage.objectUser": frozenset({"storage.objects.get", "storage.objects.list", "storage.objects.create"}),
    "roles/storage.objectViewer": frozenset({"storage.objects.list"}),
}
"""What else of ROLES a role holds, so that no second one is asked for."""


@dataclass(frozen=True)
class Grant:
    """A role of the caller's, and what he needs it for. `unknown`: whether he has it already could not be asked."""

    binding: IamMember
    permissions: tuple[str, ...]
    unknown: bool = False


@dataclass(frozen=True)
class Half:
    """What an administrator does: `steps` in their order, then `grants`. `lacks`: address -> why it is not the caller's."""

    caller: str
    steps: tuple[Step, ...] = ()
    grants: tuple[Grant, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.steps or self.grants)


def split(plan: Plan, cloud: Cloud, wish: Serve | Tune) -> Half:
    """Ask which rights the caller has and divide the plan. Makes read calls only."""
    project = PolicyTarget("project", cloud.project)
    more: dict[str, tuple[Need, ...]] = {
        f"look {s.address}": rights.reading(s.resource, cloud.project) for s in plan.steps if not s.resource.by_others
    }
    # a person's calls count on the project; and a failure is only explained by its log
    more["calls"] = (Need(project, "serviceusage.services.use"), Need(project, "logging.logEntries.list"))
    more |= _of_a_tune(plan, wish, project) if isinstance(wish, Tune) else _of_a_service(plan, wish, project)
    found = rights.ask(plan.steps, cloud, more)
    steps = tuple(s for s in plan.steps if _others(s, found))
    return Half(cloud.caller(), steps, _grants(plan, steps, found, cloud), {s.address: _why(s, found) for s in steps})


def _of_a_service(plan: Plan, wish: Serve, project: PolicyTarget) -> dict[str, tuple[Need, ...]]:
    """The smoke test, and the look at the model before it."""
    service = next(s.resource for s in plan.steps if s.resource.kind == "service")
    buckets = {p.uri: p.bucket for p in (wish.model, *(model for _, model in wish.adapters)) if p.kind == "gs"}
    looks = {f"model {uri}": _reading(PolicyTarget("bucket", bucket)) for uri, bucket in buckets.items()}
    return {"smoke test": (Need(target_of(service) or project, rights.INVOKE),), **looks}


def _of_a_tune(plan: Plan, wish: Tune, project: PolicyTarget) -> dict[str, tuple[Need, ...]]:
    """The start, the run's document and data that are written before it, and the look at the base."""
    job = next(s.resource for s in plan.steps if isinstance(s.resource, Job))
    own, start = PolicyTarget("bucket", wish.bucket), Step(Op.CREATE, Execution(job.full_name, wish.run_uri))
    looks = {f"base {name}": _reading(PolicyTarget("bucket", name)) for name in wish.reads}
    return {
        "start": rights.needed(start, project.name),
        "follow": (Need(project, "run.executions.get"),),
        "run": (*_reading(own), Need(own, "storage.objects.create")),
        **looks,
    }


def _reading(bucket: PolicyTarget) -> tuple[Need, ...]:
    return Need(bucket, "storage.objects.get"), Need(bucket, "storage.objects.list")


def _others(step: Step, found: rights.Rights) -> bool:
    """Whether another hand does it: the caller can't, or nobody knows."""
    if step.resource.kind in CALLERS or step.op not in (Op.CREATE, Op.UPDATE, Op.UNSEEN):
        return False
    lacking = found.missing.get(step.address, ())
    if step.resource.kind == "secret" and step.op is Op.UPDATE:
        return False  # an administrator does not know the token: the caller is given the right to add it
    return step.op is Op.UNSEEN or bool(lacking) or step.address in found.unknown


def _why(step: Step, found: rights.Rights) -> str:
    lacking = found.missing.get(step.address, ())
    if lacking:
        return f"missing permission {', '.join(need.permission for need in lacking)}"
    return step.note if step.op is Op.UNSEEN else "unknown: the caller's permissions can't be asked"


def _grants(plan: Plan, steps: Sequence[Step], found: rights.Rights, cloud: Cloud) -> tuple[Grant, ...]:
    given = {s.address for s in steps}
    secrets = {s.address for s in steps if s.resource.kind == "secret"}
    # what can't be asked, as on a project whose Resource Manager API is off, is never taken for granted
    lacking = (*((a, n, False) for a, n in found.missing.items()), *((a, n, True) for a, n in found.unknown.items()))
    wanted = [(n, unknown) for a, needs, unknown in lacking if a not in given or a in secrets for n in needs]
    made = {target_of(s.resource) for s in steps}
    absent = {target_of(s.resource) for s in plan.steps if s.op is Op.CREATE} - made
    places: dict[PolicyTarget, set[str]] = {}
    unasked: set[PolicyTarget] = set()
    for need, unknown in wanted:
        # what the caller himself will make has no policy before: the project's reaches it
        target = PolicyTarget("project", cloud.project) if need.target in absent else need.target
        if need.permission in ROLES:
            places.setdefault(target, set()).add(need.permission)
            unasked |= {target} if unknown else set()
    member = CALLER
    return tuple(
        Grant(IamMember(target, role, member), tuple(sorted(permissions)), target in unasked)
        for target in sorted(places, key=lambda t: (t.kind != "project", t.kind, t.name))
        for role, permissions in _roles(places[target]).items()
    )


def _roles(permissions: Iterable[str]) -> dict[str, list[str]]:
    """Role -> what it is for; a role whose every permission another one holds is left out."""
    chosen: dict[str, list[str]] = {}
    for permission in sorted(permissions):
        chosen.setdefault(ROLES[permission], []).append(permission)
    for role in sorted(chosen, key=lambda r: len(COVERS.get(r, ()))):
        others = frozenset[str]().union(*(COVERS.get(r, frozenset()) for r in chosen if r != role))
        if set(chosen[role]) <= others:
            del chosen[role]
    return chosen
