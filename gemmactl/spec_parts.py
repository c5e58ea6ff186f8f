"""What the wishes of every stack say alike, as protocols: a service's and a fine-tune's. Knows neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gemmactl.spec import Egress


class Placed(Protocol):
    @property
    def project(self) -> str: ...
    @property
    def region(self) -> str: ...


class Handed(Placed, Protocol):
    """What another hand may have made."""

    @property
    def iam(self) -> bool | None: ...
    @property
    def service_account(self) -> str | None: ...
    @property
    def build_service_account(self) -> str | None: ...


class Keyed(Placed, Protocol):
    """What it is encrypted with."""

    @property
    def kms_key(self) -> str | None: ...
    @property
    def project_number(self) -> str: ...


class Networked(Protocol):
    """The way that its requests go out."""

    @property
    def network(self) -> str | None: ...
    @property
    def subnet(self) -> str | None: ...
    @property
    def network_tags(self) -> tuple[str, ...]: ...
    @property
    def vpc_egress(self) -> Egress | None: ...


class Sized(Placed, Protocol):
    """What one instance has."""

    @property
    def gpu_type(self) -> str: ...
    @property
    def cpu(self) -> int: ...
    @property
    def memory(self) -> str: ...


class Built(Handed, Sized, Protocol):
    """What decides how its image is built."""

    @property
    def name(self) -> str: ...
