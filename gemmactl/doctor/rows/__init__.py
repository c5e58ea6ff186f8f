"""Known failures, one family per file. A new failure is a new Row; a new family is a new file named here."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

FAMILIES: Final = (
    "auth",
    "federation",
    "apis",
    "billing",
    "standing",
    "orgpolicy",
    "constraint",
    "load",
    "tune",
    "training",
    "training_data",
    "training_end",
    "build",
    "dockerfile",
    "packages",
    "registry",
    "agent",
    "secrets",
    "policy",
    "caller",
    "wordings",
    "iam",
    "calls",
    "denials",
    "quota",
    "limits",
    "gpu",
    "engines",
    "kernels",
    "servers",
    "settings",
    "revision",
    "declared",
    "command_line",
    "collision",
    "request",
    "building",
    "image",
    "container",
    "startup",
    "programs",
    "probe",
    "model",
    "hub",
    "weights",
    "jobs",
    "network",
    "mount",
    "runtime",
    "tokens",
    "logins",
    "objects",
    "volumes",
    "vpc",
    "connections",
    "front",
    "broad",
    "net",
)
"""In order of precedence: of two rows that match at one place, the first one speaks."""


@cache
def all_rows() -> tuple[Any, ...]:
    """Every Row. Imported at first use: a command that doesn't fail pays nothing."""
    return tuple(row for family in FAMILIES for row in import_module(f"{__name__}.{family}").ROWS)
