"""The parts of a Cloud Run service as typed values; None is "no opinion". Knows no JSON and no cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gemmactl.kernel.reference import Digest, Version
from gemmactl.resources import quantity

INGRESS: Final[Mapping[str, str]] = {
    "all": "INGRESS_TRAFFIC_ALL",
    "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
}
"""gcloud's words -> the API's."""
EGRESS: Final[Mapping[str, str]] = {"all-traffic": "ALL_TRAFFIC", "private-ranges-only": "PRIVATE_RANGES_ONLY"}


@dataclass(frozen=True)
class EnvVar:
    """A plain variable."""

    name: str
    value: str = ""


@dataclass(frozen=True)
class SecretEnv:
    """A variable that holds a secret. `secret`: its name, with `projects/P/secrets/` when it lives in another project."""

    name: str
    secret: str
    version: str | Version = "latest"


@dataclass(frozen=True)
class Resources:
    """Limits, compared by value. `cpu_idle` False: the CPU is always allocated (a GPU needs that)."""

    cpu: str | None = None
    memory: str | None = None
    gpu: str | None = None
    cpu_idle: bool | None = None
    startup_cpu_boost: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cpu", quantity.cpu(self.cpu) if self.cpu else None)
        object.__setattr__(self, "memory", quantity.memory(self.memory) if self.memory else None)


@dataclass(frozen=True)
class Port:
    container_port: int
    name: str | None = None
    """`http1` or `h2c`; the server fills in http1."""


@dataclass(frozen=True)
class Probe:
    """One probe. `path` for http; `service` for grpc."""

    kind: Literal["http", "tcp", "grpc"]
    port: int | None = None
    path: str | None = None
    service: str | None = None
    initial_delay: int | None = None
    timeout: int | None = None
    period: int | None = None
    failures: int | None = None
    headers: tuple[tuple[str, str], ...] | None = None
    """Of an HTTP probe."""


@dataclass(frozen=True)
class Mount:
    name: str
    path: str


@dataclass(frozen=True)
class Container:
    """One container; the first one with a port takes the requests."""

    image: str | Digest
    name: str | None = None
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: tuple[EnvVar | SecretEnv, ...] | None = None
    resources: Resources | None = None
    ports: tuple[Port, ...] | None = None
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    mounts: tuple[Mount, ...] | None = None
    depends_on: tuple[str, ...] | None = None
    working_dir: str | None = None

    def __post_init__(self) -> None:
        # variables are a mapping: their order carries no meaning and must make no difference
        if self.env is not None:
            object.__setattr__(self, "env", tuple(sorted(self.env, key=lambda e: e.name)))


@dataclass(frozen=True)
class GcsVolume:
    name: str
    bucket: str
    read_only: bool = False
    mount_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecretItem:
    path: str
    version: str | Version = "latest"


@dataclass(frozen=True)
class SecretVolume:
    name: str
    secret: str
    items: tuple[SecretItem, ...] = ()


@dataclass(frozen=True)
class EmptyDir:
    """`size`: a quantity; the medium is memory."""

    name: str
    medium: str | None = "MEMORY"
    size: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", quantity.memory(self.size) if self.size else None)


@dataclass(frozen=True)
class OtherVolume:
    """A kind that gemmactl has no word for, kept as its JSON text so that nothing of a user's service is lost."""

    name: str
    text: str


Volume = GcsVolume | SecretVolume | EmptyDir | OtherVolume


@dataclass(frozen=True)
class Traffic:
    """Where requests go. `revision` None: whichever is newest."""

    percent: int = 0
    revision: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class Vpc:
    """Direct VPC egress (network, subnetwork, tags) or a connector."""

    network: str | None = None
    subnetwork: str | None = None
    tags: tuple[str, ...] | None = None
    egress: str | None = None
    """PRIVATE_RANGES_ONLY or ALL_TRAFFIC."""
    connector: str | None = None


@dataclass(frozen=True)
class Scaling:
    """Of one revision."""

    min_instances: int | None = None
    max_instances: int | None = None
