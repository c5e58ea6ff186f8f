"""Networks: metadata behind a proxy, missing networks, egress."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import Row

_NO_GRANT: Final = ("any IAM grant",)

ROWS: Final = (
    Row(
        code="metadata-proxied",
        category="network",
        subcategory="metadata",
        title="The metadata server can't be reached",
        cause="A proxy setting takes calls to it, or the process does not run on Google Cloud.",
        remedy="Put 169.254.169.254 and metadata.google.internal into NO_PROXY; elsewhere use Application Default Credentials.",
        patterns=(
            r"Failed to retrieve http://metadata\.google\.internal",
            r"Compute Engine Metadata server unavailable",
        ),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="network-missing",
        category="network",
        subcategory="subnet_missing",
        title="The network does not exist, or Cloud Run may not use it",
        cause="Many organizations create no `default` network; in a shared VPC the service agent needs networkUser on"
        " the subnet.",
        remedy="Name a network and a subnet that exist, or deploy without VPC egress.",
        patterns=(
            r"VPC network \S{1,200} does not exist or",
            r"(?:subnetwork|subnet|network) \S{1,200} (?:does not exist|was not found|not found)",
            r"VPC_NETWORK_NOT_FOUND",
            r"VPC Access connector \S{3,200} does not exist",
        ),
        commands=("gcloud compute networks list --project={project}",),
        not_fix=_NO_GRANT,
        confidence=0.75,
    ),
    Row(
        code="host-unreachable",
        category="network",
        subcategory="egress",
        title="A host could not be reached",
        cause="Name resolution or the connection failed: no way out of the VPC network, a proxy, or no Private Google Access.",
        remedy="Check the egress setting, Cloud NAT and Private Google Access of the subnet.",
        patterns=(
            r"Temporary failure in name resolution",
            r"Failed to establish a new connection: \[Errno \d+\]",
            r"Network is unreachable",
            r"\bNameResolutionError\b|getaddrinfo (?:failed|ENOTFOUND)|Name or service not known|no such host",
            r"dial tcp [\d.:\[\]a-f]{3,60}: (?:i/o timeout|connect: connection refused|connect: network is unreachable)",
            r"\b(?:ConnectTimeout|ConnectTimeoutError|ReadTimeout)\b",
            r"Could not resolve host",
            r"Read timed out|connect(?:ion)? timed out|Connection reset by peer",
            r"[Ff]ailed to connect to (?:all addresses|remote host)",
        ),
        not_fix=_NO_GRANT,
        confidence=0.7,
    ),
)
