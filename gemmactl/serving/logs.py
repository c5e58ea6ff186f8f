"""The log of a service or a job: the newest entries, and those that follow. Makes read calls only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gemmactl.errors import Exit, Trouble, usage
from gemmactl.kernel.resource import Clock
from gemmactl.resources.cloud import LogEntry
from gemmactl.result import Line, Result, Verbatim
from gemmactl.serving import evidence, find
from gemmactl.serving.log_filter import Wanted
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice

_PAGE: Final = 1000
"""Entries that one read of --follow may give."""
_LATE: Final = timedelta(seconds=60)
"""An entry may come into the log that long after its time: that much is read again."""


@dataclass(frozen=True)
class Source:
    """Whose log: a filter without times and words. `kind`: service or job."""

    kind: str
    name: str
    filter: str
    missing: Callable[[], Trouble | None]
    """What to say where the log is empty: it is not there at all; None: it only wrote nothing."""
    verb: str = "logs"

    def query(self, *more: str) -> str:
        return " AND ".join((self.filter, *more))


def logs(place: Place, settings: Settings, name: str | None, wanted: Wanted, voice: Voice, clock: Clock | None = None) -> Result:
    """The newest entries of a service; with --follow everything after them until Ctrl-C.

    Raises:
        Trouble: (usage) what is asked for excludes itself, or is no time, no severity and no text. There is no such service.
    """
    possible(wanted, voice)
    return shown(place, source(place, find.name_of(place, settings, name)), wanted, voice, clock)


def source(place: Place, name: str) -> Source:
    """The log of a service."""

    def missing() -> Trouble | None:
        if place.cloud.run.get(find.full_name(place, name)) is not None:
            return None
        from gemmactl.serving.missing import no_service

        shows = f"gemmactl status --project {place.project.text} shows what is there"
        return no_service(place, name, shows, "nothing is in the log under it either")

    return Source("service", name, evidence.query(place, name), missing)


def shown(place: Place, of: Source, wanted: Wanted, voice: Voice, clock: Clock | None = None) -> Result:
    """The same of any log.

    Raises:
        Trouble: (usage) what is asked for excludes itself, or is no time, no severity and no text. There is no such thing.
    """
    possible(wanted, voice)
    now = datetime.now(UTC)
    parts = wanted.filters(now)
    form = raw if wanted.raw else line
    # one more than asked for tells whether there are more; following reads the last minute again, and what is older than the
    # tail must be known by then, or it comes after the tail
    most = max(wanted.tail + 1, _PAGE) if wanted.follow else wanted.tail + 1
    read = place.cloud.logs.entries(of.query(*parts), newest=True, limit=most)
    entries = read[max(0, len(read) - wanted.tail) :]
    cut = len(read) > wanted.tail
    if wanted.narrowed and cut:
        voice.say(Line(f"only the newest {wanted.tail} of them: --tail N shows more", "dim"))
    if wanted.follow:
        # what is older than the first read was not asked for, or was cut off by it
        floor = read[0].timestamp if len(read) >= most else wanted.start(now)
        for entry in entries:
            voice.data(f"{form(entry)}\n")
        try:
            for entry in fresh(place, of, wanted, read, clock or Clock(), floor):
                voice.data(f"{form(entry)}\n")
        except KeyboardInterrupt:  # how following ends: nothing was under way
            return Result(of.verb, {of.kind: of.name}, target=place.target, exit=Exit.INTERRUPTED)
    if not entries and not wanted.follow and (trouble := of.missing()):
        raise trouble
    if not entries and not wanted.follow:
        voice.say(Line("no entries", "dim"))
    data = {of.kind: of.name, "entries": [_document(e, whole=wanted.raw) for e in entries], "more": cut}
    screen = (Verbatim("\n".join(map(form, entries))),) if entries else ()
    return Result(of.verb, data, screen, target=place.target)


def line(entry: LogEntry) -> str:
    """One entry as one line of a terminal; control characters of the container stay out of it."""
    return f"{entry.timestamp[:19]}Z {entry.severity or 'DEFAULT':<7} {evidence.clean(evidence.text_of(entry))}"


def raw(entry: LogEntry) -> str:
    """One entry as one line of JSON, all of it as the API sent it; what a terminal would obey is escaped, as JSON can."""
    text = json.dumps(_document(entry, whole=True), ensure_ascii=False, separators=(",", ":"))
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def fresh(
    place: Place, of: Source, wanted: Wanted, seen: tuple[LogEntry, ...], clock: Clock, floor: str = ""
) -> Iterator[LogEntry]:
    """Every entry but those seen, for ever, each once. Entries may arrive late: the last minute is read again.

    `floor`: a time; what is older stays untold.
    """
    known = {entry.insert_id: entry.timestamp for entry in seen}
    newest = seen[-1].timestamp if seen else evidence.stamp(datetime.now(UTC))
    while True:
        back = _before(newest)
        for entry in _after(place, of, wanted, back):
            if entry.insert_id not in known and entry.timestamp >= floor:
                known[entry.insert_id] = entry.timestamp
                newest = max(newest, entry.timestamp)
                yield entry
        forgotten = _before(back)  # never read again: what is kept of them would grow for ever
        known = {one: at for one, at in known.items() if at >= forgotten}
        clock.sleep(2.0)


def _after(place: Place, of: Source, wanted: Wanted, start: str) -> Iterator[LogEntry]:
    """All entries since a moment, however many, oldest first; those of the moment where two reads meet come twice."""
    limit = _PAGE
    while True:
        query = of.query(*wanted.lasting(), f'timestamp>="{start}"')
        entries = place.cloud.logs.entries(query, limit=limit)
        yield from entries
        if len(entries) < limit:
            return
        # more than one read of one and the same moment: only a larger read gets past it
        limit = limit * 2 if entries[-1].timestamp == start else _PAGE
        start = entries[-1].timestamp


def _before(moment: str) -> str:
    return evidence.stamp(datetime.fromisoformat(moment) - _LATE)


def possible(wanted: Wanted, voice: Voice) -> None:
    """Raise Trouble (usage) where what is asked for excludes itself."""
    if not wanted.follow:
        return
    if not voice.streams:
        raise usage(
            "--follow has no end, a JSON document has one",
            why="--format json prints exactly one document",
            remedy="leave one of them out; --follow --raw writes each entry as a line of JSON",
            code="follow-json",
        )
    if wanted.until is not None:
        raise usage(
            "--follow has no end, --until is one",
            why="following goes on until Ctrl-C",
            remedy="leave one of them out",
            code="follow-until",
        )


def _document(entry: LogEntry, *, whole: bool = False) -> dict[str, object]:
    if whole and entry.raw:
        return dict(entry.raw)
    return {"timestamp": entry.timestamp, "severity": entry.severity, "payload": entry.payload, "insert_id": entry.insert_id}
