"""The words that the rows' expressions need, written down family by family: what no word of a text asks for is not even imported.

`words.json` is generated (docs/generate.py) from the rows by search.computed; a test compares it. Knows no failure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from gemmactl.doctor.held import holds_any

FILE: Final = Path(__file__).with_name("words.json")


@cache
def table() -> Mapping[str, Any]:
    """Family -> `reasons` of ErrorInfo that its rows know, and `words`: expression -> texts of which a match holds one."""
    found: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@cache
def _expressions() -> dict[str, tuple[str, ...]]:
    return {expression: tuple(words) for family in table().values() for expression, words in family["words"].items()}


def needed(expression: str) -> tuple[str, ...] | None:
    """The words of one expression of the rows; None for any other."""
    return _expressions().get(expression)


def asked(families: Iterable[str], lowered: str, reasons: frozenset[str]) -> list[str]:
    """Those of `families` that may have a row for a text in lower case, or for one of `reasons`; one that is not written is."""
    return [name for name in families if (of := table().get(name)) is None or _may(of, lowered, reasons)]


def _may(family: Mapping[str, Any], lowered: str, reasons: frozenset[str]) -> bool:
    return not reasons.isdisjoint(family["reasons"]) or holds_any(lowered, family["any"])


def written() -> str:
    """What words.json is to hold."""
    from importlib import import_module

    from gemmactl.doctor import rows
    from gemmactl.doctor.search import computed

    document: dict[str, Any] = {}
    for name in rows.FAMILIES:
        own = import_module(f"{rows.__name__}.{name}").ROWS
        searched = dict.fromkeys(one for row in own for one in row.patterns)
        beside = dict.fromkeys(one for row in own for one in (row.only_with, row.unless) if one)
        document[name] = {
            "reasons": sorted({reason for row in own for reason in row.reasons}),
            "any": sorted({word for one in searched for word in computed(one)}),
            "words": {one: list(computed(one)) for one in (*searched, *beside)},
        }
    return json.dumps(document, ensure_ascii=False, indent=0) + "\n"
