"""Subnets of Compute Engine, read only, as plain REST: the whole compute client would be 40 MB for one question."""

from __future__ import annotations

from typing import Final

from gemmactl.gcp.wire import Wire
from gemmactl.resources.surroundings import SubnetInfo

API: Final = "compute.googleapis.com"


class Subnets:
    """Implements `cloud.Subnets`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def get(self, name: str) -> SubnetInfo | None:
        found = self._wire.find(API, f"subnet {name}", lambda: self._wire.rest(API, "GET", f"/compute/v1/{name}"))
        if found is None:
            return None
        network = str(found.get("network", "")).rpartition("/")[2]
        return SubnetInfo(network, str(found.get("ipCidrRange", "")), bool(found.get("privateIpGoogleAccess", False)))
