"""What goes to stdout, what to stderr, and when somebody is asked."""

import io
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.events import Done, Failed, Log, Progress, Started
from gemmactl.result import SCHEMA, Line, Marked, Result, Verbatim, failure
from gemmactl.ui.screen import Screen

CANARY = "hf_CANARYcanaryCANARYcanary"


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def screen(form: str = "text", environ: Mapping[str, str] | None = None, **more: Any) -> tuple[Screen, io.StringIO, io.StringIO]:
    out, err = more.pop("out", io.StringIO()), more.pop("err", io.StringIO())
    made = Screen(form, environ or {}, stdin=more.pop("stdin", io.StringIO()), stdout=out, stderr=err, **more)  # type: ignore[arg-type]  # text or json
    return made, out, err


def test_json_is_exactly_one_document_on_stdout() -> None:
    """The envelope has its fixed keys; nothing else is on stdout."""
    made, out, err = screen("json")
    made.aim("sandbox")
    made.say(Line("talk"))
    made.events(Started("service x", "create"))
    made.result(Result("plan", {"changes": 0}, (Line("a line"),), ("next",), "sandbox"))
    document = json.loads(out.getvalue())
    assert set(document) == {"schema", "verb", "target", "ok", "exit", "data", "problems", "next"}
    assert document["schema"] == SCHEMA
    assert document["target"] == "sandbox"
    assert err.getvalue().splitlines()[0] == "SANDBOX (this machine, no cloud, $0)"


def test_a_failure_in_json_has_what_why_remedy() -> None:
    """A Trouble is a problem in the same envelope."""
    made, out, _ = screen("json")
    made.result(failure("deploy", Trouble("a", why="b", remedy="c", code="d", exit=Exit.GATE), target="cloud"))
    document = json.loads(out.getvalue())
    assert (document["ok"], document["exit"]) == (False, 5)
    assert document["problems"] == [{"code": "d", "what": "a", "why": "b", "remedy": "c", "facts": {}}]


def test_sandbox_banner_is_the_first_line_of_a_screen() -> None:
    """On stdout for screens, on stderr for verbs whose stdout is data; once."""
    made, out, err = screen()
    made.aim("sandbox")
    made.aim("sandbox")
    made.result(Result("status", {}, (Line("x"),), target="sandbox"))
    assert out.getvalue() == "SANDBOX (this machine, no cloud, $0)\nx\n"
    data, out, err = screen(data_verb=True)
    data.aim("sandbox")
    data.result(Result("generate", {}, (Verbatim("answer"),), target="sandbox"))
    assert out.getvalue() == "answer\n"
    assert err.getvalue() == "SANDBOX (this machine, no cloud, $0)\n"


def test_errors_and_hints_are_talk() -> None:
    """Stdout stays empty when a command fails; next commands are hints."""
    made, out, err = screen()
    made.result(
        Result(
            "deploy",
            {},
            (),
            ("gemmactl status",),
            problems=(Trouble("a", why="b", remedy="c"), Trouble("d", why="e", remedy="f")),
        )
    )
    assert out.getvalue() == ""
    assert "error: a" in err.getvalue()
    assert "error: d" in err.getvalue()
    assert "  gemmactl status" in err.getvalue()


def test_what_explains_an_error_is_told_apart_from_a_second_error() -> None:
    """Two things that fail are two errors; what doctor knows of one is its cause."""
    made, _, err = screen()
    problems = (Trouble("a", why="b", remedy="c"), Trouble("d", why="e", remedy="f"))
    made.result(Result("deploy", {}, problems=problems, explained=True))
    assert "error: a" in err.getvalue()
    assert "cause: d" in err.getvalue()


@pytest.mark.parametrize("environ", [{}, {"CI": "1"}, {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}])
def test_nobody_is_asked_without_a_terminal_or_in_ci(environ: dict[str, str]) -> None:
    """Confirm and secret fail with the flag or the variable to use instead; nothing is read from stdin."""
    stdin = Tty("y\n") if environ else io.StringIO("y\n")
    made, _, _ = screen(environ=environ, stdin=stdin, err=Tty())
    with pytest.raises(Trouble) as caught:
        made.confirm("Apply?", flag="--yes")
    assert (caught.value.exit, "--yes" in caught.value.remedy) == (Exit.USAGE, True)
    with pytest.raises(Trouble) as caught:
        made.secret("token", instead="set HF_TOKEN")
    assert caught.value.remedy == "set HF_TOKEN"
    assert stdin.read() == "y\n"


@pytest.mark.parametrize(("typed", "yes"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)])
def test_only_yes_is_yes(typed: str, yes: bool) -> None:
    """Enter and end of input mean no."""
    made, out, err = screen(environ={"NO_COLOR": "1"}, stdin=Tty(typed), err=Tty())
    assert made.confirm("Apply?", flag="--yes") is yes
    assert out.getvalue() == ""
    assert "Apply? [y/N]" in err.getvalue()


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"CI": "true"}, {"TERM": "dumb"}])
def test_no_escape_sequences_where_they_are_not_wanted(environ: dict[str, str]) -> None:
    """NO_COLOR, CI and dumb terminals get plain text."""
    made, out, err = screen(environ=environ, out=Tty(), err=Tty())
    made.events(Started("bucket b", "create"))
    made.events(Done("bucket b", "", 1.0))
    made.result(Result("status", {}, (Line("fine", "good"),), problems=(Trouble("a", why="b", remedy="c"),)))
    assert "\x1b" not in out.getvalue() + err.getvalue()


def test_a_terminal_gets_colours() -> None:
    """The same text with styles around it."""
    made, out, _ = screen(environ={"TERM": "xterm"}, out=Tty(), err=Tty())
    made.result(Result("status", {}, (Line("fine [not markup]", "good"),)))
    assert "\x1b[32m" in out.getvalue()
    assert "fine [not markup]" in out.getvalue()


def test_progress_in_a_pipe_is_one_line_for_each_event() -> None:
    """The same progress is said once; log lines carry their address; done steps say what was done."""
    made, out, err = screen()
    for event in (
        Started("image i", "create"),
        Progress("image i", "WORKING"),
        Progress("image i", "WORKING"),
        Log("image i", "Step #0"),
        Done("image i", "", 61.0),
        Failed("service s", Trouble("no", why="x", remedy="y")),
    ):
        made.events(event)
    assert err.getvalue().splitlines() == [
        "  image i: creating",
        "  image i: WORKING",
        "  image i | Step #0",
        "+ image i: created (61 s)",
        "! service s: no",
    ]
    assert out.getvalue() == ""


def test_live_progress_leaves_the_finished_steps() -> None:
    """On a terminal the moving region goes away and what is done stays."""
    made, _, err = screen(environ={"TERM": "xterm"}, err=Tty())
    made.events(Started("bucket b", "create"))
    made.events(Progress("bucket b", "half"))
    made.events(Done("bucket b", "", 2.0))
    made.settle()
    assert "bucket b: created (2 s)" in err.getvalue()


def test_no_secret_leaves_through_any_sink() -> None:
    """One canary over text, JSON, progress and errors."""
    for format in ("text", "json"):  # noqa: A001 - the flag's own name
        made, out, err = screen(format)
        made.say(Line(CANARY))
        made.events(Started(CANARY, "create"))
        made.events(Log("x", f"token={CANARY}"))
        made.events(Failed("x", Trouble(CANARY, why=CANARY, remedy=CANARY)))
        problem = Trouble(CANARY, why=CANARY, remedy=CANARY, facts={"a": [CANARY], CANARY: {"b": CANARY}})
        made.result(Result("plan", {"x": CANARY}, (Line(CANARY),), (CANARY,), problems=(problem,)))
        assert "CANARY" not in out.getvalue() + err.getvalue()


def test_plain_output_does_not_import_rich(tmp_path: Any) -> None:
    """Rich costs 50 ms: only a terminal pays for it."""
    import subprocess

    code = (
        "import sys, io; from gemmactl.ui.screen import Screen; from gemmactl.result import Result, Line\n"
        "Screen('text', {}).result(Result('plan', {}, (Line('x'),)))\n"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'rich'], 'rich was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_api_key_leaves_only_where_it_was_made() -> None:
    """The document that is about it may show this one key, and no other; talk shows none."""
    key, other = "gmk_" + "k" * 43, "gmk_" + "o" * 43
    made, out, err = screen("json")
    made.say(Line(f"key {key}"))
    made.result(Result("keys create", {"key": key, "else": other}, reveals=frozenset({key})))
    assert json.loads(out.getvalue())["data"] == {"key": key, "else": "(secret removed)"}
    assert key not in err.getvalue()
    text, out, _ = screen()
    text.result(Result("keys create", {"key": key}, (Verbatim(key),), reveals=frozenset({key})))
    assert out.getvalue() == f"{key}\n"


def test_marked_text_is_painted_on_a_terminal_and_bracketed_elsewhere() -> None:
    """In a pipe and without colours it can be read all the same."""
    result = Result("v", {}, (Marked((("a ", False), ("b", True))),))
    plain, out, _ = screen()
    plain.result(result)
    assert out.getvalue() == "    a [[b]]\n"
    fancy, painted, _ = screen(environ={"TERM": "xterm-256color"}, out=Tty())
    fancy.result(result)
    assert "[[" not in painted.getvalue()
    assert "\x1b[" in painted.getvalue().partition("b")[0]
