"""Meaning: what one of gemmactl's own codes stands for, whoever prints it. Knows no text that leads to it, and no call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """`title` says what happened and why, for every time; the error itself says it of this one, with its own names."""

    code: str
    title: str
    remedy: str
