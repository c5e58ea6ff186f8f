"""The moving region: what stays on the screen, and that no two threads wait for each other."""

import io
import re
import threading
from collections.abc import Callable

from gemmactl.kernel.events import Done, Progress, Started
from gemmactl.ui.layout import Styled
from gemmactl.ui.live import Live, bar
from gemmactl.ui.progress import Lines, line
from gemmactl.ui.stream import Stream

SPINNER = re.compile("[\u2800-\u28ff]")
STEPS = 15


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def screen_of(written: str) -> list[str]:
    """The rows that a terminal shows: carriage return, line feed, cursor up and erase line are all that rich sends here."""
    rows, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            rows.extend([""] * (row + 1 - len(rows)))
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            rows[row] = ""
        elif not part.startswith("\x1b") and part != "\r":
            rows[row] = part
    return [text for text in rows if text]


def in_threads(work: Callable[[int], None], count: int) -> bool:
    """Whether all came back."""
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return not any(thread.is_alive() for thread in threads)


def test_steps_that_end_in_threads_leave_one_line_each_and_no_spinner() -> None:
    """Printing and painting never wait for each other, and no row of an older picture stays."""
    out = Tty()
    live = Live(Stream(out, fancy=True), frame=0.0005)

    def work(number: int) -> None:
        for step in range(STEPS):
            live(Started(f"step {number}.{step}", "create"))
            live(Progress(f"step {number}.{step}", "half way"))
            live(Done(f"step {number}.{step}", "create", 0.0))

    assert in_threads(work, 4), "the threads wait for each other"
    live.stop()
    rows = screen_of(out.getvalue())
    assert not [row for row in rows if SPINNER.search(row)]
    assert sorted(rows) == sorted(f"+ step {number}.{step}: created (0 s)" for number in range(4) for step in range(STEPS))


def test_a_long_line_of_progress_is_folded_between_words() -> None:
    """On 80 columns an address is not cut in its middle."""
    address = "grant storage.objectViewer on bucket a-bucket-with-quite-a-long-name to an-account@a-project"
    out = Tty()
    Lines(Stream(out, fancy=False))(Done(address, "create", 0.0))
    assert out.getvalue().splitlines() == [
        "+ grant storage.objectViewer on bucket a-bucket-with-quite-a-long-name to",
        "    an-account@a-project: created (0 s)",
    ]


def test_a_step_has_the_sign_that_its_plan_had() -> None:
    """+ created, ~ updated, - removed."""
    said = [line(Done("a", verb, 0.0)) for verb in ("create", "update", "delete")]
    assert said == [
        Styled(f"{sign} a: {did} (0 s)", "good") for sign, did in (("+", "created"), ("~", "updated"), ("-", "removed"))
    ]


def test_a_long_step_has_a_second_line_with_a_bar() -> None:
    """How far it is, and what it tells beside; gone with the step, and cut to the screen's width."""
    out = Tty()
    live = Live(Stream(out, fancy=True), frame=60.0)
    live(Started("run sql/01", "train"))
    live(Progress("run sql/01", "training 10/40", 0.25, f"loss 1.000 {'x' * 200}"))
    live._live.refresh()
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", row) for row in out.getvalue().splitlines()]
    assert any("run sql/01: training 10/40" in row for row in shown)
    assert any(row.strip().startswith("━━━╌╌╌╌╌╌╌╌╌  25%  loss 1.000 x") and len(row) <= 80 for row in shown)
    live(Done("run sql/01", "train", 3.0))
    live.stop()
    assert not [row for row in screen_of(out.getvalue()) if "━" in row or SPINNER.search(row)]


def test_a_pipe_gets_both_in_one_line_once() -> None:
    """The same state is not said twice; another detail is another state."""
    out = io.StringIO()
    lines = Lines(Stream(out, fancy=False))
    for detail in ("loss 2", "loss 2", "loss 1"):
        lines(Progress("run sql/01", "training 1/4", 0.25, detail))
    assert out.getvalue().splitlines() == [f"  run sql/01: training 1/4 · loss {n}" for n in (2, 1)]


def test_a_bar_is_never_longer_than_its_width() -> None:
    """Nothing where nobody knows; beyond the ends it stays within them."""
    assert [bar(None), bar(-1.0, 4), bar(0.5, 4), bar(7.0, 4)] == ["", "╌╌╌╌   0%  ", "━━╌╌  50%  ", "━━━━ 100%  "]
