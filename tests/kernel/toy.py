"""A toy cloud and a toy resource: the smallest thing the kernel can work on. Counts and can break every call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from gemmactl.errors import Trouble
from gemmactl.kernel.reference import Digest, Version
from gemmactl.kernel.resource import Clock, Resource, Work


class Killed(BaseException):
    """The process dies here: nothing after it runs."""


@dataclass
class ToyCloud:
    """Things by name; `before(call, name)` runs first in every call and may raise."""

    things: dict[str, dict[str, object]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda _call, _name: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, verb: str, name: str) -> None:
        with self.lock:
            self.calls.append((verb, name))
        self.before(verb, name)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [c for c in self.calls if c[0] != "read"]

    def digest_of(self, tag: str) -> str | None:
        return str(self.things[tag]["digest"]) if tag in self.things else None

    def newest_version(self, secret: str) -> str | None:
        return str(self.things[secret]["version"]) if secret in self.things else None


@dataclass(frozen=True)
class Thing(Resource):
    """A named thing with one free and one fixed field."""

    kind: ClassVar[str] = "thing"
    fixed: ClassVar[frozenset[str]] = frozenset({"place"})
    name: str
    color: str | None = None
    place: str | None = None
    image: str | Digest | Version | None = None
    parents: tuple[str, ...] = field(default=(), compare=False)
    guard: str | None = field(default=None, compare=False)

    @property
    def address(self) -> str:
        return self.name

    @property
    def needs(self) -> tuple[str, ...]:
        return self.parents

    @property
    def lock(self) -> str | None:
        return self.guard

    def read(self, cloud: ToyCloud) -> Thing | None:
        cloud.call("read", self.name)
        live = cloud.things.get(self.name)
        if live is None:
            return None
        return Thing(self.name, live.get("color"), live.get("place"), live.get("image"))  # type: ignore[arg-type]

    def create(self, cloud: ToyCloud, work: Work) -> None:
        missing = [p for p in self.parents if p not in cloud.things and not p.startswith("outside")]
        assert not missing, f"{self.name} was made before {missing}"
        cloud.call("create", self.name)
        cloud.things[self.name] = {"color": self.color or "default", "place": self.place or "here", "image": self.image}
        cloud.call("created", self.name)

    def update(self, cloud: ToyCloud, live: Thing, work: Work) -> None:
        cloud.call("update", self.name)
        mine = {"color": self.color or live.color, "image": self.image or live.image}
        cloud.things[self.name] = {**cloud.things[self.name], **mine}

    def delete(self, cloud: ToyCloud, live: Thing, work: Work) -> None:
        cloud.call("delete", self.name)
        del cloud.things[self.name]


@dataclass(frozen=True)
class Image(Thing):
    """Makes a digest that others refer to late."""

    kind: ClassVar[str] = "image"

    def create(self, cloud: ToyCloud, work: Work) -> None:
        cloud.call("create", self.name)
        cloud.things[self.name] = {"digest": "sha256:1"}


@dataclass(frozen=True)
class Grant(Thing):
    """A binding, as the kernel knows it: it settles."""

    settles: ClassVar[bool] = True


class ToyClock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.time += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, sleep=self.sleep)


def refusal(status: int = 403, reason: str = "IAM_PERMISSION_DENIED") -> Trouble:
    return Trouble(
        "no", why="denied", remedy="ask", code="denied", facts={"status": status, "reason": reason, "denied": status == 403}
    )
