"""Known failures, one family per file. A new failure is a new Row; a new family is a new file named here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any, Final

from gemmactl.doctor.held import lower
from gemmactl.doctor.vocabulary import asked

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
    "registry_denials",
    "wordings",
    "iam",
    "bucket_denials",
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
    "cut_off",
    "looks",
)
"""In order of precedence: of two rows that match at one place, the first one speaks."""


def all_rows() -> tuple[Any, ...]:
    """Every Row. Imported at first use: a command that doesn't fail pays nothing."""
    return tuple(row for family in FAMILIES for row in _of(family))


def rows_for(text: str, reasons: Iterable[str] = ()) -> tuple[Any, ...]:
    """The rows that may have something to say of a text, or of ErrorInfo's `reasons`: only their families are imported."""
    return tuple(row for family in asked(FAMILIES, lower(text), frozenset(reasons)) for row in _of(family))


@cache
def _of(family: str) -> tuple[Any, ...]:
    rows: tuple[Any, ...] = import_module(f"{__name__}.{family}").ROWS
    return rows
