"""A service's log: the newest entries, and those that follow. Makes read calls only."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


def logs(place: Place, settings: Settings, name: str | None, wanted: Wanted, voice: Voice, clock: Clock | None = None) -> Result:
    """The newest entries; with --follow everything after them until Ctrl-C.

    Raises:
        Trouble: (usage) what is asked for excludes itself, or is no time, no severity and no text. There is no such service.
    """
    _possible(wanted, voice)
    now = datetime.now(UTC)
    parts = wanted.filters(now)
    short = find.name_of(place, settings, name)
    form = raw if wanted.raw else line
    # one more than asked for tells whether there are more; following reads the last minute again, and what is older than the
    # tail must be known by then, or it comes after the tail
    most = max(wanted.tail + 1, _PAGE) if wanted.follow else wanted.tail + 1
    read = place.cloud.logs.entries(evidence.query(place, short, *parts), newest=True, limit=most)
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
            for entry in fresh(place, short, wanted, read, clock or Clock(), floor):
                voice.data(f"{form(entry)}\n")
        except KeyboardInterrupt:  # how following ends: nothing was under way
            return Result("logs", {"service": short}, target=place.target, exit=Exit.INTERRUPTED)
    if not entries and not wanted.follow and place.cloud.run.get(find.full_name(place, short)) is None:
        raise Trouble(
            f"there is no service {short}",
            why="and nothing in the log under that name",
            remedy=f"gemmactl status {place.flags} shows what is there",
            code="service-missing",
        )
    data = {"service": short, "entries": [_document(e, whole=wanted.raw) for e in entries], "more": cut}
    shown = (Verbatim("\n".join(map(form, entries))),) if entries else ()
    return Result("logs", data, shown, target=place.target)


def line(entry: LogEntry) -> str:
    """One entry as one line of a terminal; control characters of the container stay out of it."""
    return f"{entry.timestamp[:19]}Z {entry.severity or 'DEFAULT':<7} {evidence.clean(evidence.text_of(entry))}"


def raw(entry: LogEntry) -> str:
    """One entry as one line of JSON, all of it as the API sent it; what a terminal would obey is escaped, as JSON can."""
    text = json.dumps(_document(entry, whole=True), ensure_ascii=False, separators=(",", ":"))
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def fresh(
    place: Place, name: str, wanted: Wanted, seen: tuple[LogEntry, ...], clock: Clock, floor: str = ""
) -> Iterator[LogEntry]:
    """Every entry but those seen, for ever, each once. Entries may arrive late: the last minute is read again.

    `floor`: a time; what is older stays untold.
    """
    known = {entry.insert_id: entry.timestamp for entry in seen}
    newest = seen[-1].timestamp if seen else evidence.stamp(datetime.now(UTC))
    while True:
        back = _before(newest)
        for entry in _after(place, name, wanted, back):
            if entry.insert_id not in known and entry.timestamp >= floor:
                known[entry.insert_id] = entry.timestamp
                newest = max(newest, entry.timestamp)
                yield entry
        forgotten = _before(back)  # never read again: what is kept of them would grow for ever
        known = {one: at for one, at in known.items() if at >= forgotten}
        clock.sleep(2.0)


def _after(place: Place, name: str, wanted: Wanted, start: str) -> Iterator[LogEntry]:
    """All entries since a moment, however many, oldest first; those of the moment where two reads meet come twice."""
    limit = _PAGE
    while True:
        query = evidence.query(place, name, *wanted.lasting(), f'timestamp>="{start}"')
        entries = place.cloud.logs.entries(query, limit=limit)
        yield from entries
        if len(entries) < limit:
            return
        # more than one read of one and the same moment: only a larger read gets past it
        limit = limit * 2 if entries[-1].timestamp == start else _PAGE
        start = entries[-1].timestamp


def _before(moment: str) -> str:
    return evidence.stamp(datetime.fromisoformat(moment) - _LATE)


def _possible(wanted: Wanted, voice: Voice) -> None:
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
