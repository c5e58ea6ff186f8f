"""Subnets of Compute Engine, read only, as plain REST: the whole compute client would be 40 MB for one question."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.gcp.wire import Wire
from gemmactl.resources.surroundings import SubnetInfo

API: Final = "compute.googleapis.com"


class Subnets:
    """Implements `cloud.Subnets`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def get(self, name: str) -> SubnetInfo | None:
        def ask() -> Any:
            return self._wire.rest(API, "GET", f"/compute/v1/{name}", params={"views": "WITH_UTILIZATION"})

        found = self._wire.find(API, f"subnet {name}", ask)
        if found is None:
            return None
        network = str(found.get("network", "")).rpartition("/")[2]
        cidr, reach = str(found.get("ipCidrRange", "")), bool(found.get("privateIpGoogleAccess", False))
        return SubnetInfo(network, cidr, reach, _free(found))


def _free(subnet: dict[str, Any]) -> int | None:
    """Free addresses of the primary range, whose name is empty.

    Source: https://cloud.google.com/compute/docs/reference/rest/v1/subnetworks/get
    """
    ranges = subnet.get("utilizationDetails", {}).get("ipv4Utilizations", ())
    told = (one.get("totalFreeIp") for one in ranges if not one.get("rangeName"))
    return next((int(free) for free in told if free is not None), None)
