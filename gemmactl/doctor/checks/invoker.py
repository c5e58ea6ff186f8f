"""Who may call a service that is there: whether that is the circle that was wished. Knows no network: ingress is a policy's."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.service import Service

INVOKER: Final = "roles/run.invoker"
ANYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})


def invoker(ground: Ground) -> Answer:
    """A binding for everybody on a service that is meant for some: no later deploy takes it away, because none made it."""
    service = ground.service
    if not isinstance(service, Service):
        return "nobody calls a job"
    if service.invoker_iam_disabled:
        return "Cloud Run asks nobody for a role, as it was wished"
    held = ground.cloud.policies.members(PolicyTarget("service", service.full_name), INVOKER)
    if open_to := sorted(ANYBODY & held):
        return (_open(service, open_to[0]),)
    return f"{len(held)} member{'s' * (len(held) != 1)} of {INVOKER} on the service, not everybody"


def _open(service: Service, member: str) -> Finding:
    where = f"--region={service.region} --project={service.project}"
    line = f"gcloud run services remove-iam-policy-binding {service.name} {where} --member={member} --role={INVOKER}"
    who = "anybody" if member == "allUsers" else "everybody with a Google account"
    return Finding(
        code="open-to-all",
        category="iam",
        subcategory="invoke",
        title=f"{who} may call {service.name}, which is deployed for those with {INVOKER}",
        cause=f"{member} holds the role on the service. Every request wakes a GPU, and is billed.",
        remedy="Take the binding away, or say that it is meant: gemmactl deploy --auth public, or --auth api-key.",
        commands=(line,),
        principal=member,
        resource=service.full_name,
        scope="service",
        fix_kind="user_action",
        state="advice",
    )


def _there(ground: Ground) -> bool:
    return ground.live and isinstance(ground.service, Service)


CHECKS: Final = (Check("invoker", invoker, "run.services.getIamPolicy", _there),)
