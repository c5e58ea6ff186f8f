"""Expressions searched in a text, compiled only where they can match. Knows no failure.

Compiling 370 expressions took 100 ms of CPU, more than all the rest of `doctor --from-log`, and the rows have seven times as
many. Most of them need a word that the text does not hold, and looking for a word costs a microsecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise

from gemmactl.doctor import vocabulary

SHORTEST = 3
"""Characters that make a word worth looking for."""


@cache
def pattern(expression: str) -> re.Pattern[str]:
    """Compiled once, at first use; start-up pays for none."""
    return re.compile(expression, re.IGNORECASE)


def search(expression: str, text: str) -> re.Match[str] | None:
    """As re.search, ignoring case."""
    return pattern(expression).search(text) if possible(expression, text) else None


def matches(expression: str, text: str) -> Iterator[re.Match[str]]:
    """As re.finditer, ignoring case."""
    return pattern(expression).finditer(text) if possible(expression, text) else iter(())


def possible(expression: str, text: str) -> bool:
    """Whether the text holds the word without which the expression matches nothing."""
    lowered = _lower(text)
    return any(one in lowered for one in words(expression))


@lru_cache(maxsize=4)
def _lower(text: str) -> str:
    return text.lower()


_TOKEN = (
    r"\\(?P<plain>[^0-9A-Za-z])"  # an escaped sign stands for itself
    r"|\\[0-9A-Za-z]"  # \b, \w, \1: no fixed character
    r"|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<open>\()|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<optional>[*?]|\{[\d,]*\})|(?P<more>\+)|[.^$]"
    r"|(?P<run>[^\\\[()|*?{+.^$]+)"
)


@cache
def word(expression: str) -> str:
    """The longest text, in lower case, that every match must hold; empty when none is certain.

    Only characters outside groups and classes count; an alternative outside groups makes nothing certain.
    """
    longest, run, depth = "", "", 0
    for token in re.finditer(_TOKEN, expression, re.DOTALL):
        kind = token.lastgroup
        if kind == "bar" and depth == 0:
            return ""
        depth += (kind == "open") - (kind == "close")
        if depth or kind == "close":
            longest, run = max(longest, run, key=len), ""
        elif kind in ("plain", "run"):
            run += token[kind]
        else:
            longest = max(longest, run[:-1] if kind == "optional" else run, key=len)
            run = ""
    longest = max(longest, run, key=len)
    return longest.lower() if len(longest) >= SHORTEST else ""


@cache
def words(expression: str) -> tuple[str, ...]:
    """Texts of which every match must hold one; an empty text, which everything holds, when none is certain."""
    return vocabulary.needed(expression) or computed(expression)


def computed(expression: str) -> tuple[str, ...]:
    """The same by reading the expression: for all of them that costs more than everything else of a short text."""
    if one := word(expression):
        return (one,)
    branches = _branches(expression)
    if len(branches) > 1:
        found = [text for branch in branches for text in computed(branch)]
        return ("",) if "" in found else tuple(found)
    return max((computed(group) for group in _groups(expression)), key=lambda texts: min(map(len, texts)), default=("",))


def _branches(expression: str) -> list[str]:
    """The alternatives of an expression that stand outside of groups."""
    cuts, depth = [-1], 0
    for token in re.finditer(_TOKEN, expression, re.DOTALL):
        kind = token.lastgroup
        depth += (kind == "open") - (kind == "close")
        if kind == "bar" and depth == 0:
            cuts.append(token.start())
    return [expression[a + 1 : b] for a, b in pairwise([*cuts, len(expression)])]


def _groups(expression: str) -> Iterator[str]:
    """What stands in the outermost groups that no match can do without."""
    depth = start = 0
    for token in re.finditer(_TOKEN, expression, re.DOTALL):
        kind = token.lastgroup
        depth += (kind == "open") - (kind == "close")
        if kind == "open" and depth == 1:
            start = token.end()
        elif kind == "close" and depth == 0 and expression[token.end() : token.end() + 1] not in ("?", "*", "{"):
            inner = re.match(r"\?(?:-i)?:|\?P<\w+>", expression[start : token.start()])
            if inner or expression[start] != "?":
                yield expression[start + (inner.end() if inner else 0) : token.start()]
