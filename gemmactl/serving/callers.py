"""Who may call a live service, from where, and which way its requests go: as facts for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.resources import service_body
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.service_types import INGRESS
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.spec import Auth

INVOKER: Final = "roles/run.invoker"
CALLERS: Final[Mapping[Auth, str]] = {
    "iam": "members with roles/run.invoker",
    "api-key": "holders of an API key (gemmactl keys list)",
    "public": "everybody",
}


def rows(live: Json) -> tuple[tuple[str, str], ...]:
    """For people; an empty value where there is nothing to say."""
    network = service_body.vpc_of(live.get("template", {}).get("vpcAccess"))
    parts = (network.network, network.subnetwork, network.connector, network.egress) if network else ()
    return (
        ("callers", CALLERS[find.auth_of(live)]),
        ("reached", "" if find.outside(live) else f"from inside Google's network alone: {_word(live)}"),
        ("network", " ".join(part for part in parts if part)),
    )


def invokers(place: Place, live: Json) -> tuple[str, ...] | None:
    """Who holds roles/run.invoker on the service itself; None: nobody needs it, or it can't be read.

    Who holds it on the project, or by another role, is not among them.
    """
    if find.auth_of(live) != "iam" or not live.get("name"):
        return None
    try:
        return tuple(sorted(place.cloud.policies.members(PolicyTarget("service", str(live["name"])), INVOKER)))
    except Trouble:
        return None


def document(live: Json) -> dict[str, Any]:
    """For machines."""
    return {
        "auth": find.auth_of(live),
        "public": bool(live.get("invokerIamDisabled")),
        "ingress": _word(live),
        "vpc": live.get("template", {}).get("vpcAccess", {}),
    }


def _word(live: Json) -> str:
    """The ingress as gcloud says it."""
    api = str(live.get("ingress", ""))
    return next((word for word, name in INGRESS.items() if name == api), api)
