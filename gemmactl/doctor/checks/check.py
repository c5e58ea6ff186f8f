"""A check: one question about the world around a deploy, and its three ends. Knows no particular question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from gemmactl.doctor.finding import Context, Finding

if TYPE_CHECKING:
    from gemmactl.local.hub_account import HubAccount
    from gemmactl.resources.cloud import Cloud
    from gemmactl.resources.job import Job
    from gemmactl.resources.service import Service

End = Literal["ok", "finding", "unknown"]


@dataclass(frozen=True)
class Ground:
    """What the checks look at: the stack of a wish, and the cloud in which it is to stand."""

    cloud: Cloud
    stack: tuple[Any, ...]
    bucket: str = ""
    """Of the model; `` when it lies elsewhere."""
    context: Context = field(default_factory=Context)
    live: bool = False
    """Whether the service or the job is there already."""
    hf_token: str = field(default="", repr=False)
    """The user's token of the Hugging Face hub on this machine, or ``."""
    whoami: Callable[[str], HubAccount | None] | None = None
    """Whose such a token is; None of it: the hub does not know it. Raises Trouble when it does not say. None: it is not asked."""
    values: bool = False
    """Whether secrets may be looked into: asked for by whoever wants to know what is wrong, not by a plan."""

    @cached_property
    def service(self) -> Service | Job:
        """What runs: the one service of the stack, or its job."""
        found: Service | Job = next(r for r in self.stack if r.kind in ("service", "job"))
        return found

    @property
    def what(self) -> str:
        """`service` or `job`: what a sentence calls it."""
        return self.service.kind

    def of_kind(self, kind: str) -> tuple[Any, ...]:
        """The resources of one kind."""
        return tuple(r for r in self.stack if r.kind == kind)


Answer = str | tuple[Finding, ...] | None
"""What was seen to be fine, in words; or what is wrong (state problem: an apply would fail; advice: it may bite); None: what the
question is about is not there, which another check says."""


@dataclass(frozen=True)
class Check:
    """One question. `ask` may raise Trouble: then the end is unknown, never ok.

    `permission`: what looking needs, for an API whose denial names none. `when`: whether it concerns this wish at all.
    `needless`: no step needs that permission, so that not to have it is no fault.
    """

    name: str
    ask: Callable[[Ground], Answer]
    permission: str = ""
    when: Callable[[Ground], bool] = lambda _ground: True
    needless: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a check ended. Unknown: `seen` says why, `permission` or `api` what is missing to know."""

    check: str
    end: End
    seen: str = ""
    findings: tuple[Finding, ...] = ()
    permission: str = ""
    api: str = ""
    """The API whose being disabled hides the answer."""
    held_up: frozenset[str] = frozenset()
    """Addresses of the steps that can't be done before what was found is mended."""
    needless: bool = False
    """Of one that is unknown: nobody needs the right that is missing for it."""

    @property
    def refuses(self) -> bool:
        """Whether an apply would fail."""
        return any(f.state == "problem" for f in self.findings)

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "check": self.check,
            "end": self.end,
            "seen": self.seen,
            "permission": self.permission or None,
            "api": self.api or None,
            "findings": [f.document() for f in self.findings],
        }
