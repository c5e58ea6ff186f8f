"""Trouble: the one error a user may see, and the exit codes. Knows no screen and no cloud."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Stable exit codes; documented in the README."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    PENDING = 3
    """`plan --detailed-exitcode`: changes pending."""
    REFUSED = 4
    """Refused before any change: preflight, a blocked step, a model that must not be served."""
    GATE = 5
    """A gate failed after a change: a revision did not start, or did not answer its smoke test."""
    FOUND = 6
    """doctor found problems, regions no room."""
    INTERRUPTED = 130


class Trouble(Exception):  # noqa: N818 - the project's word for an error that is shown with its way out
    """What went wrong, why, and what to do about it.

    `code` is a stable kebab-case identifier for JSON readers; `facts` hold structured evidence (permission, principal,
    resource, reason, status, url...), which doctor reads instead of the sentence. No secret may enter any field.
    """

    def __init__(
        self,
        what: str,
        *,
        why: str,
        remedy: str,
        code: str = "failure",
        exit: Exit = Exit.FAILURE,  # noqa: A002 - the name a caller reads: exit=Exit.USAGE
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy
        self.code = code
        self.exit = exit
        self.facts: dict[str, Any] = dict(facts or {})

    def __str__(self) -> str:
        return f"{self.what} ({self.why})" if self.why else self.what


def usage(what: str, *, why: str, remedy: str, code: str = "usage") -> Trouble:
    """A Trouble for input that can't be right whatever the cloud says; exit 2."""
    return Trouble(what, why=why, remedy=remedy, code=code, exit=Exit.USAGE)


def refused(what: str, *, why: str, remedy: str, code: str, facts: Mapping[str, Any] | None = None) -> Trouble:
    """A Trouble found before any change was made; exit 4."""
    return Trouble(what, why=why, remedy=remedy, code=code, exit=Exit.REFUSED, facts=facts)
