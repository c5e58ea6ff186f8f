"""The subnet of a service with VPC egress: there, large enough, and with a way to Cloud Storage."""

from __future__ import annotations

import ipaddress
from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding

PERMISSION: Final = "compute.subnetworks.get"
SMALLEST: Final = 26
"""Prefix length. source: Cloud Run's page "Direct VPC egress with a VPC network": a subnet of /26 or larger."""
BLOCK: Final = 16
"""Addresses that Cloud Run takes of a subnet at a time (/28). source: the same page, "IP address allocation"."""


def subnet(ground: Ground) -> Answer:
    name = full_name(ground)
    found = ground.cloud.subnets.get(name)
    short = name.rpartition("/")[2]
    describe = f"gcloud compute networks subnets {{}} {short} --region={ground.service.region} --project={name.split('/')[1]}"
    if found is None:
        return (
            Finding(
                code="network-missing",
                category="network",
                subcategory="subnet",
                title=f"there is no subnet {short} in {ground.service.region}",
                cause="The service is to reach its network through it.",
                remedy="Name a subnet of the service's region.",
                commands=(f"gcloud compute networks subnets list --regions={ground.service.region}",),
                resource=name,
                scope="subnet",
                fix_kind="config_change",
            ),
        )
    bad: list[Finding] = []
    if not found.private_google_access and egress(ground) == "ALL_TRAFFIC":
        bad.append(
            Finding(
                code="subnet-without-google-access",
                category="network",
                subcategory="private_google_access",
                title=f"subnet {short} has no Private Google Access",
                cause="All traffic of the service goes through it, so the weights in Cloud Storage would be out of reach:"
                " the container ends with `Network is unreachable` and the startup probe fails.",
                remedy="Switch it on, or send private ranges alone through the network: --vpc-egress private-ranges-only.",
                commands=(describe.format("update") + " --enable-private-ip-google-access",),
                resource=name,
                scope="subnet",
                fix_kind="config_change",
                confidence=1.0,
            )
        )
    if found.range and ipaddress.ip_network(found.range, strict=False).prefixlen > SMALLEST:
        bad.append(
            Finding(
                code="subnet-small",
                category="network",
                subcategory="subnet_range",
                title=f"subnet {short} has only {found.range}",
                cause="Cloud Run reserves addresses in blocks of 16 and wants a /26 or larger.",
                remedy="Widen it, or use another subnet.",
                commands=(describe.format("expand-ip-range") + f" --prefix-length={SMALLEST}",),
                resource=name,
                scope="subnet",
                fix_kind="config_change",
                state="advice",
            )
        )
    wanted = _network(ground)
    if wanted and found.network and wanted != found.network:
        bad.append(
            Finding(
                code="subnet-of-another-network",
                category="network",
                subcategory="subnet",
                title=f"subnet {short} is of network {found.network}, not of {wanted}",
                cause="Cloud Run takes both only where the one lies in the other.",
                remedy="Name the network of that subnet, or leave --network out.",
                commands=(describe.format("describe"),),
                resource=name,
                scope="subnet",
                fix_kind="config_change",
                confidence=1.0,
            )
        )
    if found.free is not None and found.free < BLOCK:
        bad.append(
            Finding(
                code="subnet-full",
                category="network",
                subcategory="subnet_range",
                title=f"subnet {short} has {found.free} free address{'es' * (found.free != 1)} left",
                cause=f"Cloud Run takes {BLOCK} at a time, and holds two blocks while one revision follows another.",
                remedy="Widen it, or use another subnet.",
                commands=(describe.format("expand-ip-range") + f" --prefix-length={_wider(found.range)}",),
                resource=name,
                scope="subnet",
                fix_kind="config_change",
                # the addresses that are taken may be those of this very service
                state="advice",
            )
        )
    reach = "has" if found.private_google_access else "needs no"
    return tuple(bad) or f"{short} ({found.range}) {reach} Private Google Access"


def _network(ground: Ground) -> str:
    """The network that was named beside a subnet, by its short name."""
    vpc = ground.service.vpc
    return vpc.network.rpartition("/")[2] if vpc and vpc.network and vpc.subnetwork else ""


def _wider(range_: str) -> int:
    """The prefix of a range twice as large."""
    return min(ipaddress.ip_network(range_, strict=False).prefixlen - 1, SMALLEST) if range_ else SMALLEST


def egress(ground: Ground) -> str:
    vpc = ground.service.vpc
    return (vpc and vpc.egress) or "PRIVATE_RANGES_ONLY"


def full_name(ground: Ground) -> str:
    """Full name of the subnet; a network alone means the subnet of its name, as in an auto-mode network."""
    vpc = ground.service.vpc
    given = (vpc and (vpc.subnetwork or vpc.network)) or ""
    if given.startswith("projects/") and vpc and vpc.subnetwork:
        return given
    short = given.rpartition("/")[2]
    project = given.split("/")[1] if given.startswith("projects/") else ground.cloud.project
    return f"projects/{project}/regions/{ground.service.region}/subnetworks/{short}"


def asked(ground: Ground) -> bool:
    """Whether the wish goes through a network of the user's."""
    vpc = ground.service.vpc
    return vpc is not None and bool(vpc.subnetwork or vpc.network)


CHECKS: Final = (Check("subnet", subnet, PERMISSION, asked),)
