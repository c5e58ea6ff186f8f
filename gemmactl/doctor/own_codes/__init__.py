"""Codes that gemmactl's own errors, checks and findings carry, one group per file. Rows of pasted texts are in doctor/rows."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gemmactl.doctor.own_codes.meaning import Meaning

GROUPS: Final = (
    "looked_at",
    "login",
    "command_line",
    "settings",
    "deploying",
    "calling",
    "models",
    "finetuning",
    "machine",
)
"""In the order in which they are listed."""
BEFORE: Final = ("model-", "load-", "finetune-")
"""Several parts speak of one thing: inspect's `shard-missing`, doctor's and the engine's with a word before it."""


@cache
def meanings() -> dict[str, tuple[Meaning, ...]]:
    """Group -> its codes."""
    return {group: import_module(f"{__name__}.{group}").ROWS for group in GROUPS}


def other_names(code: str) -> tuple[str, ...]:
    """What a code may be listed under: as it is printed, without the word before it, with another one."""
    plain = code.strip().lower().replace("_", "-")
    short = next((plain.removeprefix(word) for word in BEFORE if plain.startswith(word)), plain)
    return tuple(dict.fromkeys((code, plain, short, *(f"{word}{short}" for word in BEFORE))))
