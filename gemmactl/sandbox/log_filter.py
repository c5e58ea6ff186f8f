"""The part of Cloud Logging's filter language that is understood; anything else is refused. Knows no store.

Understood: comparisons joined by AND or line breaks: `field="value"`, `field=value`, `!=`, `:` (contains), `>=`, `>`, `<=`, `<`
on severity, timestamp and text fields, `field:*` (is there), `field=~"regex"`, NOT before a comparison, `field=("a" OR "b")`, and
a text in quotation marks alone, which any field may contain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any, Final

from gemmactl.sandbox.wire import failed

SEVERITIES: Final = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")

_VALUE = r'"(?:[^"\\]|\\.)*"|[\w.:/@%+-]+|\*(?=\s|\)|$)'
_TERM = re.compile(
    rf"""\s*(?P<not>NOT\s+|-)?(?P<field>(?:[\w-]+|"[^"]+")(?:\.(?:[\w-]+|"[^"]+"))*)\s*
    (?P<op>=~|!~|!=|>=|<=|=|>|<|:)\s*(?:\((?P<many>[^()]*)\)|(?P<one>{_VALUE}))""",
    re.VERBOSE,
)
_TEXT = re.compile(r'\s*(?P<not>NOT\s+|-)?(?P<text>"(?:[^"\\]|\\.)*")(?=\s|$)')
_JOINT = re.compile(r"\s*(?:\bAND\b|\n|\s)\s*")

Entry = dict[str, Any]


def matcher(text: str) -> Callable[[Entry], bool]:
    """The filter as a predicate.

    Raises:
        ApiError: 400, naming the part that was not understood.
    """
    tests: list[Callable[[Entry], bool]] = []
    rest = text.strip()
    while rest:
        found = _TEXT.match(rest) or _TERM.match(rest)
        if not found:
            raise failed("INVALID_ARGUMENT", f"Unparseable filter: the sandbox does not understand {rest[:80]!r}")
        tests.append(_test(found))
        rest = rest[found.end() :]
        joint = _JOINT.match(rest)
        after = rest[joint.end() :] if joint else rest
        if rest and (not joint or not after or after.startswith(("OR ", ")"))):
            raise failed("INVALID_ARGUMENT", f"Unparseable filter: the sandbox does not understand {rest[:80]!r}")
        rest = after
    return lambda entry: all(test(entry) for test in tests)


def _test(found: re.Match[str]) -> Callable[[Entry], bool]:
    if "text" in found.groupdict():
        sought = _plain(found["text"]).lower()
        return lambda entry: any(sought in text.lower() for text in _texts(entry)) != bool(found["not"])
    path = [part.strip('"') for part in re.findall(r'"[^"]+"|[\w-]+', found["field"])]
    if path[0] not in _FIELDS:
        raise failed("INVALID_ARGUMENT", f"Unparseable filter: field not found: {found['field']!r}")
    operator = found["op"]
    values = re.split(r"\s+OR\s+", found["many"].strip()) if found["many"] else [found["one"]]
    wanted = [_plain(value) for value in values]
    for value in wanted:
        _check(path[0], operator, value)

    def test(entry: Entry) -> bool:
        have = _look(entry, path)
        hit = any(_compare(path[0], have, operator, value) for value in wanted)
        return hit != bool(found["not"])

    return test


_FIELDS: Final = frozenset(
    (
        "logName",
        "resource",
        "labels",
        "severity",
        "timestamp",
        "receiveTimestamp",
        "insertId",
        "textPayload",
        "jsonPayload",
        "trace",
    )
)


def _check(field: str, operator: str, value: str) -> None:
    """A value that can't be compared is refused even when there is no entry to compare it with."""
    if operator in ("=~", "!~"):
        try:
            re.compile(value)
        except re.error as wrong:
            raise failed("INVALID_ARGUMENT", f"Unparseable filter: {value!r} is not a regular expression: {wrong}") from None
    elif operator != ":":
        if value == "*":
            raise failed(
                "INVALID_ARGUMENT", f"Unparseable filter: {operator}* is no comparison; `:*` asks whether a field is there"
            )
        _order(field, value)


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _texts(value: Any) -> Iterator[str]:
    """Every value of an entry as text, however deep."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
    else:
        yield str(value)


def _look(entry: Entry, path: list[str]) -> Any:
    here: Any = entry
    for part in path:
        if not isinstance(here, dict):
            return None
        here = here.get(part)
    return here


def _compare(field: str, have: Any, operator: str, value: str) -> bool:
    if operator in (">=", ">", "<=", "<"):
        left, right = _order(field, have), _order(field, value)
        if left is None or right is None or type(left) is not type(right):
            return False
        compare: Callable[[Any, Any], Any] = {">=": ge, ">": gt, "<=": le, "<": lt}[operator]
        return bool(compare(left, right))
    if have is None:
        return operator in ("!=", "!~")
    text = str(have)
    if operator in ("=~", "!~"):
        return bool(re.search(value, text)) == (operator == "=~")
    if operator == ":":
        return value == "*" or value.lower() in text.lower()
    if field in ("timestamp", "receiveTimestamp"):
        same: bool = _order(field, have) == _order(field, value)
        return same == (operator == "=")
    return (text == value) == (operator == "=")


def _order(field: str, value: Any) -> Any:
    """What a value is ordered by: severities by rank, times as times, the rest as numbers when they are, else text."""
    if value is None:
        return None
    if field == "severity":
        name = str(value).upper()
        if name not in SEVERITIES:
            raise failed("INVALID_ARGUMENT", f"Unparseable filter: unknown severity {value!r}")
        return SEVERITIES.index(name)
    if field in ("timestamp", "receiveTimestamp"):
        try:
            return datetime.fromisoformat(str(value)).timestamp()
        except ValueError:
            raise failed("INVALID_ARGUMENT", f"Unparseable filter: {value!r} is not a timestamp") from None
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
