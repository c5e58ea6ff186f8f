"""logs: which entries, in which form, each once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.resource import Clock
from gemmactl.resources.cloud import LogEntry
from gemmactl.result import Verbatim
from gemmactl.sandbox.log_filter import matcher
from gemmactl.serving.evidence import stamp
from gemmactl.serving.log_filter import Wanted, moment, quoted
from gemmactl.serving.logs import fresh, logs, raw, source
from tests.serving.ear import Ear, settings
from tests.serving.test_watching import entry, up, write

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "want"),
    [("30m", "11:30"), ("2h", "10:00"), ("90s", "11:58"), ("2026-11-22T09:15:00Z", "09:15"), ("2026-11-22T09:15:00", "09:15")],
)
def test_since(text: str, want: str) -> None:
    """A length before now, or a time."""
    assert moment(text, NOW).strftime("%H:%M") == want


@pytest.mark.parametrize("text", ["999999d", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_the_calendar_is_none(text: str) -> None:
    """Refused like any other text that is no time."""
    with pytest.raises(Trouble) as caught:
        moment(text, NOW, "--until")
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "until-illegal")


def test_what_is_no_time_and_no_severity() -> None:
    """Each with its choices."""
    with pytest.raises(Trouble, match="yesterday"):
        Wanted(since="yesterday").filters(NOW)
    with pytest.raises(Trouble) as caught:
        Wanted(severity="loud").filters(NOW)
    assert "WARNING" in caught.value.why
    assert Wanted(severity="warning", since="1h").filters(NOW) == (
        "severity>=WARNING",
        'timestamp>="2026-11-22T11:00:00.000000Z"',
    )


def test_an_empty_log_is_said(tmp_path: Path) -> None:
    """On stderr: a screen without a word could be a mistake of either side."""
    here, ear = up("one"), Ear()
    found = logs(here, settings(tmp_path), "one", Wanted(search="nowhere"), ear)
    assert (found.blocks, ear.said) == ((), ["no entries"])


def test_logs_show_text_and_messages(tmp_path: Path) -> None:
    """Oldest first; control characters of a container never reach the terminal."""
    here = up("one")
    write(here, entry(1, "plain\x1b[31m red"), entry(2, {"message": "json", "severity": "INFO"}, "ERROR"))
    result = logs(here, settings(tmp_path), None, Wanted(), Ear())
    assert [b.text for b in result.blocks if isinstance(b, Verbatim)] == [
        "2026-11-22T12:00:01Z INFO    plain [31m red\n2026-11-22T12:00:02Z ERROR   json"
    ]
    assert len(result.data["entries"]) == 2


def test_follow_tells_each_entry_once(tmp_path: Path) -> None:
    """What was seen is skipped although the last minute is read again; a late entry is not lost."""
    here = up("one")
    first = (entry(10, "a"),)
    write(here, *first)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        write(here, entry(9 if len(slept) == 1 else 20 + len(slept), f"new {len(slept)}"))

    found: Iterator[LogEntry] = fresh(here, source(here, "one"), Wanted(), first, Clock(sleep=sleep))
    assert [next(found).payload for _ in range(3)] == ["new 1", "new 2", "new 3"]


def test_follow_starts_with_the_tail_and_never_goes_back(tmp_path: Path) -> None:
    """What is older than the tail is not told although the last minute is read again; Ctrl-C is its end, not an error."""
    here, ear = up("one"), Ear()
    write(here, *(entry(second, f"old {second}") for second in range(1, 5)))

    def sleep(seconds: float) -> None:
        if len(ear.out) > 2:
            raise KeyboardInterrupt
        write(here, entry(9, "new"))

    ended = logs(here, settings(tmp_path), None, Wanted(tail=2, follow=True), ear, Clock(sleep=sleep))
    assert (ended.exit, ended.problems) == (Exit.INTERRUPTED, ())
    assert [text.split()[-2:] for text in ear.out] == [["old", "3"], ["old", "4"], ["INFO", "new"]]


def test_follow_of_a_silent_service_loses_no_late_entry() -> None:
    """Nothing was there when it began; an entry that arrives after a newer one is told too."""
    here, start = up("one"), datetime.now(UTC)
    late, newer = (LogEntry(stamp(start + timedelta(seconds=s)), "INFO", f"{s} s", f"id-{s}") for s in (5, 20))
    log = Timed([])
    here.cloud.logs = log

    def sleep(_: float) -> None:
        assert len(log.held) < 2, "the late one was passed over"
        log.held = [newer] if not log.held else [late, newer]

    found = fresh(here, source(here, "one"), Wanted(), (), Clock(sleep=sleep))
    assert [next(found).payload for _ in range(2)] == ["20 s", "5 s"]


def test_follow_since_stays_after_it(tmp_path: Path) -> None:
    """The last minute is read again, and what of it lies before --since stays untold."""
    here, ear, now = up("one"), Ear(), datetime.now(UTC)
    held = [LogEntry(stamp(now - timedelta(seconds=s)), "INFO", f"{s} s ago", f"id-{s}") for s in (40, 2)]
    log = Timed(held)
    here.cloud.logs = log

    def sleep(_: float) -> None:
        if len(log.held) > 2:
            raise KeyboardInterrupt
        log.held = [*held, LogEntry(stamp(now), "INFO", "now", "id-0")]

    logs(here, settings(tmp_path), None, Wanted(since="20s", follow=True), ear, Clock(sleep=sleep))
    assert [text.split("INFO")[1].strip() for text in ear.out] == ["2 s ago", "now"]


def test_follow_and_json_exclude_each_other(tmp_path: Path) -> None:
    """A document has an end."""
    with pytest.raises(Trouble) as caught:
        logs(up("one"), settings(tmp_path), None, Wanted(follow=True), Ear(streams=False))
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "follow-json")
    with pytest.raises(Trouble) as caught:
        logs(up("one"), settings(tmp_path), None, Wanted(follow=True, until="1h"), Ear())
    assert caught.value.code == "follow-until"


def test_a_part_of_the_log_says_when_it_is_not_all_of_it(tmp_path: Path) -> None:
    """--since, --until and --search ask for a part: that --tail cut it is said, to machines always."""
    here, ear = up("one"), Ear()
    write(here, *(entry(second, f"line {second}") for second in range(4)))
    cut = logs(here, settings(tmp_path), None, Wanted(tail=3, since="1h"), ear)
    assert (cut.data["more"], ear.said) == (True, ["only the newest 3 of them: --tail N shows more"])
    whole = logs(here, settings(tmp_path), None, Wanted(tail=4, since="1h"), Ear())
    assert (whole.data["more"], len(whole.data["entries"])) == (False, 4)


def test_until_ends_and_must_come_after_since() -> None:
    """A half-open time; a time that holds nothing is refused rather than answered with nothing."""
    assert Wanted(until="1h").filters(NOW) == ('timestamp<"2026-11-22T11:00:00.000000Z"',)
    with pytest.raises(Trouble) as caught:
        Wanted(since="1h", until="2h").filters(NOW)
    assert caught.value.code == "until-before-since"
    with pytest.raises(Trouble, match="--until"):
        Wanted(until="never").filters(NOW)


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=40))
def test_a_searched_text_is_found_and_never_becomes_filter(text: str) -> None:
    """Quotation marks, backslashes and operators are looked for like any letter."""
    if not text.strip() or not text.isprintable():
        with pytest.raises(Trouble):
            quoted(text)
        return
    wanted = matcher(f'severity="ERROR" AND {quoted(text)} AND resource.type="x"')
    holds = {"severity": "ERROR", "resource": {"type": "x"}, "jsonPayload": {"message": f"a {text} b"}}
    assert wanted(holds)
    assert not wanted({**holds, "severity": "INFO"})
    assert not wanted({**holds, "jsonPayload": {"message": ""}}) or any(text.lower() in other for other in ("error", "x"))


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "esc \x1b[0m", "x" * 1001])
def test_what_no_line_holds_is_not_searched(text: str) -> None:
    """Nothing, a line break, an escape sequence, a novel."""
    with pytest.raises(Trouble) as caught:
        Wanted(search=text).filters(NOW)
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "search-illegal")


def test_raw_is_the_whole_entry_on_one_line(tmp_path: Path) -> None:
    """As the API sent it, readable by any JSON reader; no byte of it moves a terminal's cursor."""
    sent = {"insertId": "a", "textPayload": "\x1b[2J\x9b31m \u202e \U000e0001 \ud55c\uae00", "labels": {"k": "v"}}
    one = LogEntry("2026-11-22T12:00:01Z", "INFO", str(sent["textPayload"]), "a", sent)
    text = raw(one)
    assert text.isprintable()
    assert "\ud55c\uae00" in text
    assert json.loads(text) == sent
    here = up("one")
    write(here, one)
    result = logs(here, settings(tmp_path), None, Wanted(raw=True), Ear())
    assert result.blocks == (Verbatim(text),)
    assert result.data["entries"] == [sent]


@dataclass
class Timed:
    """A log that answers by the time in the filter, as many as asked for."""

    held: list[LogEntry]
    asked: int = 0

    def entries(self, query: str, *, newest: bool = False, limit: int = 100) -> tuple[LogEntry, ...]:
        self.asked += 1
        start = query.partition('timestamp>="')[2].partition('"')[0]
        found = [one for one in self.held if one.timestamp >= start]
        return tuple(found[-limit:] if newest else found[:limit])


def test_a_loud_service_is_followed_without_a_gap(tmp_path: Path) -> None:
    """More entries in a second, and in one moment, than a read gives: all come, each once, in order."""
    here, ear = up("one"), Ear()
    many = [LogEntry(f"2026-11-22T12:00:00.{n // 10:06}Z", "INFO", f"{n}", f"id-{n}") for n in range(2500)]
    many += [LogEntry("2026-11-22T12:00:01.000000Z", "INFO", f"{n}", f"id-{n}") for n in range(2500, 5000)]
    log = Timed(many[:10])
    here.cloud.logs = log

    def sleep(_: float) -> None:
        if len(log.held) == len(many):
            raise KeyboardInterrupt
        log.held = many

    ended = logs(here, settings(tmp_path), None, Wanted(tail=5, follow=True), ear, Clock(sleep=sleep))
    assert ended.exit is Exit.INTERRUPTED
    assert [int(text.split()[-1]) for text in ear.out] == list(range(5, 5000))
    assert log.asked < 20
