"""Finding: one diagnosed failure, as data. Knows neither how it was found nor how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from gemmactl.doctor.setting import Setting
    from gemmactl.kernel.resource import Resource

FixKind = Literal[
    "iam_grant", "enable_api", "config_change", "code_change", "user_action", "admin_action", "diagnose", "retry", "none"
]
Category = Literal[
    "iam",
    "auth",
    "api_billing",
    "quota_capacity",
    "orgpolicy",
    "config",
    "image_build",
    "container",
    "gpu",
    "model",
    "jobs",
    "network",
    "storage_mount",
    "unknown",
]
"""Kinds of failures. unknown: of a check that could not look."""
State = Literal["problem", "unknown", "advice"]
"""unknown: a check could not look; never to be read as ok. advice: it serves, and something will surprise."""

TOKENS: Final = ("$CALLER", "$DOCKER_IDENTITY", "$BUILD_SA", "$RUNTIME_SA", "$RUN_AGENT")
"""Principals that a text may leave open; resolved from facts of the live project."""


@dataclass(frozen=True)
class Context:
    """What is known about the project from outside the text. Empty: not known. Accounts are e-mails or members."""

    project: str = ""
    number: str = ""
    region: str = ""
    service: str = ""
    bucket: str = ""
    caller: str = ""
    build_account: str = ""
    runtime_account: str = ""
    scene: str = ""
    """Where a text's call was made, by scene.py: tool, builder, build, program; empty when it does not tell."""
    refused: str = ""
    """Whom the text itself names as refused."""
    alone: str = ""
    """The only service account that the text names at all."""
    schedule: str = ""
    """As whom a schedule or a queue in the text calls."""
    thing: str = ""
    """`slot/name` of the one thing that the text says may not be accessed; no project."""
    maybe: str = ""
    """The words with which the text says of what was refused that it may not exist."""


@dataclass(frozen=True)
class Finding:
    """What happened, why, whom it concerns and the least that cures it.

    `principal` is an IAM member or one of TOKENS. `commands` hold validated identifiers only; a word in capitals stands for
    what could not be known. `remedies` and `settings` are what `--fix` may apply: empty when anything about them is uncertain.
    """

    code: str
    category: Category
    title: str
    cause: str
    remedy: str
    subcategory: str = ""
    evidence: str = ""
    principal: str = ""
    permission: str = ""
    resource: str = ""
    role: str = ""
    scope: str = ""
    fix_kind: FixKind = "diagnose"
    commands: tuple[str, ...] = ()
    remedies: tuple[Resource, ...] = ()
    not_fix: tuple[str, ...] = ()
    confidence: float = 0.9
    state: State = "problem"
    settings: tuple[Setting, ...] = ()
    """Settings of the live service that a deploy changes."""
    redeploys: bool = False
    """Whether a deploy of what is wished already cures it."""
    hearsay: bool = False
    """Only what a container printed says so: it may be told, it changes nothing."""

    @property
    def safe(self) -> bool:
        """Whether `--fix` may offer it: there is a remedy and nothing about it is a guess."""
        cured = bool(self.remedies or self.settings or self.redeploys)
        return cured and self.state == "problem" and self.confidence >= 0.6

    @property
    def why_not_broader(self) -> str:
        """Why this role and no broader one; `` without a role."""
        from gemmactl.doctor.broader import why_not

        return why_not(self)

    def document(self) -> dict[str, Any]:
        """The finding in the schema `gemmactl/doctor.v1`."""
        return {
            "code": self.code,
            "state": self.state,
            "category": self.category,
            "subcategory": self.subcategory,
            "title": self.title,
            "cause": self.cause,
            "remedy": self.remedy,
            "principal": self.principal or None,
            "permission": self.permission or None,
            "resource": self.resource or None,
            "role": self.role or None,
            "why_not_broader": self.why_not_broader or None,
            "scope": self.scope or None,
            "fix": {"kind": self.fix_kind, "commands": list(self.commands), "safe": self.safe}
            | ({"settings": [setting.document() for setting in self.settings]} if self.settings else {}),
            "not_fix": list(self.not_fix),
            "confidence": self.confidence,
            "evidence": self.evidence,
        }
