"""A service's log: the newest entries, and those that follow. Makes read calls only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gemmactl.errors import Exit, Trouble, usage
from gemmactl.kernel.resource import Clock
from gemmactl.resources.cloud import LogEntry
from gemmactl.result import Result, Verbatim
from gemmactl.serving import evidence, find
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice

SEVERITIES: Final = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_PAGE: Final = 1000
"""Entries that one read of --follow may give."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Wanted:
    """Which entries."""

    tail: int = 50
    since: str | None = None
    severity: str | None = None
    follow: bool = False

    def filters(self, now: datetime) -> tuple[str, ...]:
        """The parts of the filter.

        Raises:
            Trouble: (usage) a severity or a time that is none.
        """
        parts = []
        if self.severity is not None:
            if self.severity.upper() not in SEVERITIES:
                raise usage(
                    f"--severity {self.severity!r} is not a severity",
                    why=f"there are {', '.join(SEVERITIES)}",
                    remedy="choose one of them",
                    code="severity-illegal",
                )
            parts.append(f"severity>={self.severity.upper()}")
        if self.since is not None:
            parts.append(f'timestamp>="{evidence.stamp(moment(self.since, now))}"')
        return tuple(parts)


def moment(text: str, now: datetime) -> datetime:
    """`30m`, `2h`, `1d` ago, or an RFC 3339 time."""
    if found := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise usage(
            f"--since {text!r} is not a time",
            why="it is a length such as 30m, 2h, 1d or a time such as 2026-11-22T10:00:00Z",
            remedy="for example --since 2h",
            code="since-illegal",
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def logs(place: Place, settings: Settings, name: str | None, wanted: Wanted, voice: Voice, clock: Clock | None = None) -> Result:
    """The newest entries; with --follow everything after them until Ctrl-C."""
    if wanted.follow and not voice.streams:
        raise usage(
            "--follow has no end, a JSON document has one",
            why="--format json prints exactly one document",
            remedy="leave one of them out",
            code="follow-json",
        )
    parts = wanted.filters(datetime.now(UTC))
    short = find.name_of(place, settings, name)
    # following reads the last minute again: what is older than the tail must be known by then, or it comes after the tail
    most = max(wanted.tail, _PAGE) if wanted.follow else wanted.tail
    read = place.cloud.logs.entries(evidence.query(place, short, *parts), newest=True, limit=most)
    entries = read[max(0, len(read) - wanted.tail) :]
    if wanted.follow:
        for entry in entries:
            voice.data(f"{line(entry)}\n")
        try:
            for entry in fresh(place, short, wanted, read, clock or Clock()):
                voice.data(f"{line(entry)}\n")
        except KeyboardInterrupt:  # how following ends: nothing was under way
            return Result("logs", {"service": short}, target=place.target, exit=Exit.INTERRUPTED)
    if not entries and not wanted.follow and place.cloud.run.get(find.full_name(place, short)) is None:
        raise Trouble(
            f"there is no service {short}",
            why="and nothing in the log under that name",
            remedy=f"gemmactl status {place.flags} shows what is there",
            code="service-missing",
        )
    data = {"service": short, "entries": [_document(e) for e in entries]}
    shown = (Verbatim("\n".join(map(line, entries))),) if entries else ()
    return Result("logs", data, shown, target=place.target)


def line(entry: LogEntry) -> str:
    """One entry as one line of a terminal; control characters of the container stay out of it."""
    return f"{entry.timestamp[:19]}Z {entry.severity or 'DEFAULT':<7} {evidence.clean(evidence.text_of(entry))}"


def fresh(place: Place, name: str, wanted: Wanted, seen: tuple[LogEntry, ...], clock: Clock) -> Iterator[LogEntry]:
    """Every entry after those seen, for ever. Entries may arrive late: the last minute is read again, known ids skipped."""
    known = {entry.insert_id for entry in seen}
    severity = Wanted(severity=wanted.severity).filters(datetime.now(UTC))
    newest = seen[-1].timestamp if seen else evidence.stamp(datetime.now(UTC))
    while True:
        back = evidence.stamp(datetime.fromisoformat(newest) - timedelta(seconds=60)) if seen else newest
        entries = place.cloud.logs.entries(evidence.query(place, name, *severity, f'timestamp>="{back}"'), limit=_PAGE)
        for entry in entries:
            if entry.insert_id not in known:
                known.add(entry.insert_id)
                newest = max(newest, entry.timestamp)
                yield entry
        clock.sleep(2.0)


def _document(entry: LogEntry) -> dict[str, object]:
    return {"timestamp": entry.timestamp, "severity": entry.severity, "payload": entry.payload, "insert_id": entry.insert_id}
