"""World: the one owner of the sandbox's state. Knows what exists, not how a request reaches it.

A behaviour is `f(world, caller, request) -> response` over protobuf messages (raw `*_pb2`-like classes, not proto-plus), found by
the key `package.Service.Method` as the clients name them:
`run_v2.Services.CreateService`, `run_v2.Revisions.ListRevisions`, `cloudbuild_v1.CloudBuild.CreateBuild`,
`artifactregistry_v1.ArtifactRegistry.GetTag`, `secretmanager_v1.SecretManagerService.AccessSecretVersion`,
`service_usage_v1.ServiceUsage.EnableService`, `resourcemanager_v3.Projects.GetIamPolicy`.
An API without REST clients is a raw handler: `world.raw.append((regex of the path, f(world, request) -> Response))`, tried first.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from gemmactl.sandbox.endpoint import YOU
from gemmactl.sandbox.faults import Faults
from gemmactl.sandbox.iam import Iam
from gemmactl.sandbox.logs import Logs
from gemmactl.sandbox.operations import Operations
from gemmactl.sandbox.store import Store, private_folder
from gemmactl.sandbox.tokens import Tokens
from gemmactl.sandbox.wire import Request, Response

PROJECT: Final = "gemmactl-sandbox"
NUMBER: Final = "100000000001"

Behaviour = Callable[["World", str, Any], Message]
RawHandler = Callable[["World", Request], Response]


class Clock(Protocol):
    """The time, as a thing that tests pass in."""

    def now(self) -> datetime:
        """UTC, aware."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Settings:
    """What a test or a demonstration may turn."""

    grant_delay: float = 0.0
    """Seconds until a changed IAM policy takes effect; minutes at Google."""
    pace: float = 1.0
    """Factor on every wait the sandbox makes up (builds, operations, probe periods). 0: none."""
    idle_stop: float = 600.0
    """Seconds without a request after which an instance is stopped."""
    grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL of a container; Cloud Run's own is 10."""
    daemon_idle: float = 4 * 3600.0
    """Seconds without any request after which the daemon ends by itself."""


@dataclass
class World:
    """State and its engines. `storage`, `containers` and `executions` are set by their own rooms in `assembly.assemble`."""

    home: Path
    clock: Clock = field(default_factory=SystemClock)
    settings: Settings = field(default_factory=Settings)
    base_url: str = ""
    """http://127.0.0.1:PORT, known once the server is bound."""
    project: str = PROJECT
    number: str = NUMBER
    secret: bytes = field(init=False, repr=False)
    store: Store = field(init=False)
    tokens: Tokens = field(init=False)
    iam: Iam = field(init=False)
    operations: Operations = field(init=False)
    logs: Logs = field(init=False)
    faults: Faults = field(init=False)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    raw: list[tuple[re.Pattern[str], RawHandler]] = field(default_factory=list)
    closers: list[Callable[[], None]] = field(default_factory=list)
    """Called in reverse when the daemon stops: processes and ports that a room owns."""
    storage: Any = None
    containers: Any = None
    executions: Any = None
    last_used: float = field(default_factory=time.monotonic)
    """When anybody last asked for something; `touch()` it when a request comes by another port."""

    def __post_init__(self) -> None:
        private_folder(self.home)
        self.secret = _secret(self.home / "secret")
        self.store = Store(self.home / "state")
        self.tokens = Tokens(self.secret, self.clock.now)
        self.iam = Iam(self.store, self.project, self.number, now=self.clock.now, delay=lambda: self.settings.grant_delay)
        self.operations = Operations(self.store)
        self.logs = Logs(self.home / "logs.jsonl", self.project, self.clock.now)
        self.faults = Faults()
        self.iam.begin(f"user:{YOU}")

    @property
    def compute_account(self) -> str:
        """E-mail of the default compute service account."""
        return f"{self.number}-compute@developer.gserviceaccount.com"

    def name(self, name: str) -> str:
        """A resource name with the project's id, also where the caller wrote its number or `-`."""
        return self.iam.normal(name)

    def enabled(self, api: str) -> bool:
        """Is `run.googleapis.com` and so on enabled in the project?"""
        return self.store.get("apis", api) is not None

    def account(self, email: str) -> dict[str, Any] | None:
        """A service account's document; None when there is none or it is disabled for good."""
        return self.store.get("service_accounts", email)

    def touch(self) -> None:
        """Somebody uses the sandbox: the idle daemon's clock starts anew."""
        self.last_used = time.monotonic()

    def close(self) -> None:
        """Stop what the rooms started."""
        while self.closers:
            with contextlib.suppress(OSError, RuntimeError):
                self.closers.pop()()
        self.operations.close()
        self.logs.close()


def _secret(file: Path) -> bytes:
    """The home's own secret, made once."""
    if not file.exists():
        scratch = file.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_bytes(secrets.token_hex(32).encode())
        scratch.replace(file)
    return file.read_bytes()
