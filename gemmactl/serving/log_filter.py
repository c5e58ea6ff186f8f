"""What of a log is wanted: tail, times, severity, words -> parts of a Cloud Logging filter. Pure; knows no cloud."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gemmactl.errors import Trouble, usage
from gemmactl.serving.evidence import stamp

SEVERITIES: Final = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
LONGEST: Final = 1000
"""Characters of --search: a filter holds 20,000. source: cloud.google.com/logging/quotas, length of a query."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Wanted:
    """Which entries, and in which form."""

    tail: int = 50
    since: str | None = None
    severity: str | None = None
    follow: bool = False
    until: str | None = None
    search: str | None = None
    raw: bool = False

    @property
    def narrowed(self) -> bool:
        """Whether somebody asked for a part of the log, and so expects all of that part."""
        return any(one is not None for one in (self.since, self.until, self.search))

    def filters(self, now: datetime) -> tuple[str, ...]:
        """The parts of the filter.

        Raises:
            Trouble: (usage) a severity, a time or a text to look for that is none.
        """
        parts = list(self.lasting())
        since, until = self.start(now), "" if self.until is None else stamp(moment(self.until, now, "--until"))
        if since:
            parts.append(f'timestamp>="{since}"')
        if until:
            if until <= since:
                raise usage(
                    "--until is not after --since",
                    why=f"from {since} to {until} there is nothing",
                    remedy="for example --since 2h --until 1h",
                    code="until-before-since",
                )
            parts.append(f'timestamp<"{until}"')
        return tuple(parts)

    def start(self, now: datetime) -> str:
        """The time of --since as Cloud Logging compares it, or ``.

        Raises:
            Trouble: (usage) it is no time.
        """
        return "" if self.since is None else stamp(moment(self.since, now))

    def lasting(self) -> tuple[str, ...]:
        """The parts that do not depend on the time: what --follow goes on with."""
        severity = () if self.severity is None else (f"severity>={_severity(self.severity)}",)
        return severity if self.search is None else (*severity, quoted(self.search))


def moment(text: str, now: datetime, flag: str = "--since") -> datetime:
    """`30m`, `2h`, `1d` ago, or an RFC 3339 time."""
    try:
        if found := re.fullmatch(r"(\d{1,6})([smhd])", text):
            return now - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # overflow: before the year 1 or after 9999
        raise usage(
            f"{flag} {text!r} is not a time",
            why="it is a length such as 30m, 2h, 1d or a time such as 2026-11-22T10:00:00Z",
            remedy=f"for example {flag} 2h",
            code=f"{flag.removeprefix('--')}-illegal",
        ) from None


def quoted(text: str) -> str:
    """A text as a filter that finds it anywhere in an entry, whatever its case; it can't become a part of the filter itself.

    source: cloud.google.com/logging/docs/view/logging-query-language, "global restriction" and the escapes of strings.

    Raises:
        Trouble: (usage) nothing to look for, or what no line of a log holds.
    """
    if not text.strip() or len(text) > LONGEST or not text.isprintable():
        raise _no_text(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _no_text(text: str) -> Trouble:
    return usage(
        "--search has nothing that could be looked for",
        why=f"it takes 1 to {LONGEST} characters of one line; {len(text)} were given"
        + (", among them a line break or another control character" if text.strip() and not text.isprintable() else ""),
        remedy='for example --search "out of memory"',
        code="search-illegal",
    )


def _severity(text: str) -> str:
    if text.upper() not in SEVERITIES:
        raise usage(
            f"--severity {text!r} is not a severity",
            why=f"there are {', '.join(SEVERITIES)}",
            remedy="choose one of them",
            code="severity-illegal",
        )
    return text.upper()
