"""Owns which JSON schemas are too much to compile, before anything tries. Knows no grammar: standard library only."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any, Final

LONGEST: Final = 64 << 10
"""Bytes of a schema's text in UTF-8."""
DEEPEST: Final = 100
"""Levels of a schema's JSON; the parser behind has 128."""
PATTERN_PROPERTIES: Final = 20
"""Names of all patternProperties together: each is compared with each, and again wherever a $ref puts them to other keywords."""
COMPARISONS: Final = 40_000
MULTIPLES: Final = 100_000
"""Least common multiple of all multipleOf, without their powers of ten, times how often it may be compiled: one state each."""


def check(schema: str) -> dict[str, Any] | str:
    """The schema as a value, or what is wrong with it in words that don't repeat it.

    llguidance bounds its own work nearly everywhere. Left were multipleOf 99 999 989 (minutes, gigabytes) and patternProperties
    by the hundred, or referred to by the thousand (seconds).
    """
    if len(schema.encode("utf-8", "replace")) > LONGEST:
        return f"it has more than {LONGEST} bytes"
    try:
        made = json.loads(schema)
    except (ValueError, RecursionError):
        return "it is no JSON"
    if made is True:
        return {}
    if made is False:
        return "no JSON can satisfy it"
    if not isinstance(made, dict):
        return "it is no JSON object"
    return _costs(made) or made


def _costs(schema: dict[str, Any]) -> str | None:
    multiple, steps, references, patterns = 1, 0, 0, 0
    level: list[Any] = [schema]
    for _ in range(DEEPEST):
        if not level:
            return None
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                step = node.get("multipleOf")
                if isinstance(step, int | float) and not isinstance(step, bool):
                    multiple, steps = math.lcm(multiple, _digits(step)), steps + 1
                references += "$ref" in node
                named = node.get("patternProperties")
                patterns += len(named) if isinstance(named, dict) else 0
                below += node.values()
            elif isinstance(node, list):
                below += node
        if multiple > 1 and multiple * (steps + references) > MULTIPLES:
            return "a `multipleOf` with too many digits, or too many of them"
        if patterns > PATTERN_PROPERTIES or patterns * (patterns - 1) // 2 * (1 + references) > COMPARISONS:
            return f"more than {PATTERN_PROPERTIES} patternProperties, or too many $ref beside them"
        level = below
    return f"it is nested deeper than {DEEPEST} levels"


def _digits(step: float) -> int:
    """A decimal number's digits as a whole number, without zeros at the end: 0.25 and 2500 are 25."""
    if isinstance(step, float) and not math.isfinite(step):
        return MULTIPLES + 1
    number = abs(Fraction(str(step)))
    while number.denominator != 1:
        number *= 10
    whole = number.numerator
    while whole and whole % 10 == 0:
        whole //= 10
    return max(1, whole)
