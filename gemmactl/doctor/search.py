"""Expressions searched in a text, compiled only where they can match. Knows no failure.

Compiling 370 expressions took 100 ms of CPU, more than all the rest of `doctor --from-log`, and the rows have seven times as
many. Most of them need a word that the text does not hold, and looking for a word costs a microsecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from gemmactl.doctor import vocabulary
from gemmactl.doctor.held import holds_any, lower

LONG = 20_000
"""Characters of a text in which the places of a word are counted."""
PLACES = 80
"""Places of one word from each end of a long text."""
REACH = 1_500
"""Characters beyond the last of these places that an expression may still need."""
SHORTEST = 3
"""Characters that make a word worth looking for."""


@cache
def pattern(expression: str) -> re.Pattern[str]:
    """Compiled once, at first use; start-up pays for none."""
    return re.compile(expression, re.IGNORECASE)


def search(expression: str, text: str) -> re.Match[str] | None:
    """As re.search, ignoring case."""
    return next(matches(expression, text), None)


def matches(expression: str, text: str) -> Iterator[re.Match[str]]:
    """As re.finditer, ignoring case."""
    for start, end in parts(expression, text) if possible(expression, text) else ():
        yield from pattern(expression).finditer(text, start, end)


def parts(expression: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where an expression is looked for: everywhere, but in a long text around its words' first and last places only.

    An expression that reaches far costs up to 0.2 ms at each place; a text that holds its word ten thousand times is hostile
    or says the same over and over.
    """
    needed = words(expression)
    if len(text) < LONG or "" in needed:
        return ((0, len(text)),)
    lowered = lower(text)
    often = [word for word in needed if lowered.count(word) > 2 * PLACES]
    if not often:
        return ((0, len(text)),)
    low = min(_nth(lowered, word) for word in often) + REACH
    high = max(_nth_last(lowered, word) for word in often) - REACH
    return ((0, low), (high, len(text))) if low < high else ((0, len(text)),)


def _nth(lowered: str, word: str) -> int:
    at = -1
    for _ in range(PLACES):
        at = lowered.find(word, at + 1)
    return at


def _nth_last(lowered: str, word: str) -> int:
    at = len(lowered)
    for _ in range(PLACES):
        at = lowered.rfind(word, 0, at + len(word) - 1)
    return at


def possible(expression: str, text: str) -> bool:
    """Whether the text holds the word without which the expression matches nothing."""
    return holds_any(lower(text), words(expression))


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
