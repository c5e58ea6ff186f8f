"""Which role holds which permission: a table of Google's predefined roles, as data. Knows no member and no resource."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def _table() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(resources.files(__package__).joinpath("roles.json").read_text(encoding="utf-8"))
    return document


@cache
def permissions(role: str) -> frozenset[str]:
    """What a predefined role holds; nothing for a role that is none."""
    return frozenset(_table()["roles"].get(role, ()))


def known(role: str) -> bool:
    """Is it one of the predefined roles that the sandbox has?"""
    return role in _table()["roles"]


def holds(role: str, permission: str) -> bool:
    """Does the role hold the permission?"""
    return permission in permissions(role)


def of(permission: str) -> tuple[str, ...]:
    """The roles that hold a permission."""
    return tuple(role for role in _table()["roles"] if holds(role, permission))
