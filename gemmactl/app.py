"""The Typer app: verbs in groups, and the one door where a Result or a Trouble becomes screen and exit code. Does no work."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

if TYPE_CHECKING:
    from gemmactl.errors import Trouble
    from gemmactl.result import Result
    from gemmactl.ui.screen import Format, Screen


class Verb(NamedTuple):
    """One row of `gemmactl --help`. The module is imported when the verb is asked for; help makes do with this row."""

    name: str
    panel: str
    summary: str
    data: bool = False
    """Its stdout is data that other programs read: the banner goes to stderr."""
    group: bool = False


VERBS: Final = (
    Verb("inspect", "Model", "Look a model through without a GPU: what it is, what fits, what is wrong and how to mend it."),
    Verb("regions", "Model", "Where this model can run now: GPU, quota left, distance of the bucket, price."),
    Verb("copy", "Model", "Copy a model between Cloud Storage, directories and Hugging Face, checksummed and resumable."),
    Verb("finetune", "Tune", "Fine-tune a model on your own rows: check them, train, merge, publish.", group=True),
    Verb("init", "Deploy", "Write gemmactl.yaml: what a service is, found where it can be, asked where not."),
    Verb("deploy", "Deploy", "Put a model into service: plan, ask, apply, wait until ready, try one prompt."),
    Verb("plan", "Deploy", "Show what deploy would do, and change nothing: only read calls are made."),
    Verb("promote", "Deploy", "Give the waiting revision of a service its requests: after --canary, --no-traffic or a rollback."),
    Verb("rollback", "Deploy", "Give all requests back to a revision that served before, at once, and try one prompt."),
    Verb("stop", "Deploy", "End all instances of a service at once and start none; nothing is removed."),
    Verb("start", "Deploy", "Let the next request wake a stopped service."),
    Verb("destroy", "Deploy", "Remove a service and what was made for it; models stay."),
    Verb("keys", "Deploy", "API keys of a service that was deployed with --auth api-key", data=True, group=True),
    Verb("export", "Deploy", "Write a live service as YAML, for gcloud and for deploy --from-yaml.", data=True),
    Verb("generate", "Ask", "Send a prompt; the answer alone goes to stdout. A sleeping service is woken.", data=True),
    Verb("serve", "Ask", "Run the container's own server here, on GPU or CPU; Ctrl-C ends it."),
    Verb("status", "Watch", "List the services, or show one: health, revisions, traffic, last start, settings and drift."),
    Verb("logs", "Watch", "Show what the service wrote, oldest first.", data=True),
    Verb("doctor", "Repair", "Say what is wrong, why, and the least that cures it."),
    Verb("sandbox", "Try", "A pretended Google Cloud on this machine: no account, no network, $0.", group=True),
)

_HELP: Final = (
    "Your fine-tuned Gemma on Cloud Run: checked before, proven after. Try it on this machine first: gemmactl sandbox demo"
)


def build(only: Verb | None = None, *, rows: bool = False) -> typer.Typer:
    """The app. A run imports its verb alone (`only`), --help and --version none (`rows`), completion and the reference all."""
    app = typer.Typer(
        name="gemmactl",
        help=_HELP,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        add_completion=only is None and not rows,  # two rows and 8 ms less; --install-completion works all the same
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_top)
    from gemmactl.commands.impersonating import impersonating

    for verb in VERBS if only is None else (only,):
        if rows:
            app.command(verb.name, help=verb.summary, rich_help_panel=verb.panel)(_row)
            continue
        module = import_module(f"gemmactl.commands.{verb.name}")
        if verb.group:
            app.add_typer(module.app, name=verb.name, rich_help_panel=verb.panel)
        else:
            app.command(verb.name, rich_help_panel=verb.panel)(impersonating(getattr(module, verb.name)))
    return app


def _row() -> None:
    """Stands for a verb in the list of verbs."""


def _version(wanted: bool) -> None:
    if wanted:
        from gemmactl import __version__

        typer.echo(f"gemmactl {__version__}")
        raise typer.Exit


def _top(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version and exit."),
) -> None:
    """The options before a verb."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> int:
    """Run one command line in a folder (default: this one); returns the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    environ = os.environ if environ is None else environ
    verb = next((v for v in VERBS if args and v.name == args[0]), None)
    if not args or (verb and verb.group and len(args) == 1):
        args.append("--help")
    if args[-1] in ("-h", "--help") and len(args) <= 2 and (verb or len(args) == 1):
        build(verb, rows=verb is None)(args, prog_name="gemmactl", standalone_mode=False)
        return 0
    return _run(args, verb, environ, folder or Path.cwd())


def _run(args: list[str], verb: Verb | None, environ: Mapping[str, str], folder: Path) -> int:
    from gemmactl.commands.session import SESSION, Session
    from gemmactl.errors import Exit, Trouble
    from gemmactl.result import failure
    from gemmactl.ui.screen import Screen

    for stream in (sys.stdout, sys.stderr):  # an answer may hold any character whatever the locale says
        getattr(stream, "reconfigure", lambda **_: None)(encoding="utf-8", errors="backslashreplace")
    screen = Screen(asked_format(args), environ, data_verb=bool(verb and verb.data) or "--for-admin" in args)  # a script
    session = Session(screen, environ, folder, Path(environ.get("HOME") or Path.home()), screen.format, args)
    name = " ".join(args[: 1 + (verb.group and args[1].isalpha())]) if verb else ""
    try:
        app = build(verb, rows=args == ["--version"])
        outcome = app(args, prog_name="gemmactl", standalone_mode=False, obj={SESSION: session})
        return _close(screen, outcome)
    except KeyboardInterrupt:
        return _end(screen, failure(name, _interrupted(), target=screen.target))
    except Trouble as trouble:
        return _end(screen, explained(failure(name, trouble, target=screen.target)))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing to say, nobody to say it to
        return int(Exit.OK)
    except Exception as error:  # noqa: BLE001 - the one door: what is nobody's Trouble is a bug, and is told as one
        return _end(screen, failure(name, _unexpected(error, environ), target=screen.target))


def asked_format(args: Sequence[str]) -> Format:
    """--format as typed, read before parsing so that a usage error too has its form."""
    for at, arg in enumerate(args):
        if arg == "--":
            break
        if arg == "--format=json" or (arg == "--format" and args[at + 1 : at + 2] == ["json"]):
            return "json"
    return "text"


def _close(screen: Screen, outcome: Any) -> int:
    from gemmactl.errors import Exit
    from gemmactl.result import Result, failure

    if isinstance(outcome, Result):
        return _end(screen, explained(outcome) if outcome.problems else outcome)
    screen.settle()
    if outcome == Exit.INTERRUPTED:  # Typer turns Ctrl-C into this code
        return _end(screen, failure("", _interrupted(), target=screen.target))
    return outcome if isinstance(outcome, int) else int(Exit.OK)


def _end(screen: Screen, result: Result) -> int:
    screen.result(result)
    return int(result.exit)


def explained(result: Result) -> Result:
    """The result with what doctor knows about its first problem: cause and fix, without being asked."""
    from dataclasses import replace

    from gemmactl.errors import Exit

    first = result.problems[0]
    ours = first.code in _WHOLE or not first.facts.keys().isdisjoint(("finding", "findings"))  # doctor's word already
    if first.exit is Exit.USAGE or ours or len(result.problems) > 1:
        return result
    try:
        from gemmactl.serving.explain import causes

        return replace(result, problems=(first, *causes(first)), explained=True)
    except Exception:  # noqa: BLE001 - an explanation that breaks must not hide the error it was to explain
        return result


_WHOLE: Final = frozenset({"interrupted", "internal", "port-taken", "quota-too-small"})
"""Codes whose own words are all there is to say: what doctor knows of a like text of Google's speaks of another command."""


def _interrupted() -> Trouble:
    from gemmactl.errors import Exit, Trouble

    return Trouble(
        "interrupted",
        why="Ctrl-C; what is under way in the cloud goes on",
        remedy="run the same command again: it re-attaches to what is under way and makes only what is missing",
        code="interrupted",
        exit=Exit.INTERRUPTED,
    )


_MACHINE = frozenset({"EACCES", "EDQUOT", "EIO", "EISDIR", "EMFILE", "ENOSPC", "ENOTDIR", "EPERM", "EROFS"})
"""What a file system answers when its owner can help: nobody's bug."""


def _unexpected(error: Exception, environ: Mapping[str, str]) -> Trouble:
    """A usage error of Typer, or a bug."""
    from gemmactl.errors import Trouble, usage

    message = getattr(error, "format_message", None)
    if callable(message):
        where = getattr(getattr(error, "ctx", None), "command_path", "gemmactl")
        return usage(
            str(message()),
            why="the command line can't be read",
            remedy=f"{where} --help shows what it takes",
            code="command-line",
        )
    if isinstance(error, typer.Abort):
        return _interrupted()
    if isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in _MACHINE:
        return Trouble(
            f"this machine refuses {error.filename or 'a write'}",
            why=error.strerror or str(error),
            remedy="check the path, its owner and the free space, then run the same command again",
            code="machine",
        )
    import traceback

    text = "".join(traceback.format_exception(error))
    if environ.get("GEMMACTL_DEBUG") == "1":
        from gemmactl.scrub import scrub

        sys.stderr.write(scrub(text))
    return Trouble(
        f"{type(error).__name__}: {error}",
        why=f"this is a bug of gemmactl; the traceback is in {_keep(text, environ)}",
        remedy="report it with that file; GEMMACTL_DEBUG=1 shows it here",
        code="internal",
    )


def _keep(text: str, environ: Mapping[str, str]) -> str:
    """Write a traceback where only its owner reads it."""
    from gemmactl.scrub import scrub

    folder = Path(environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or Path.home()) / ".local" / "state") / "gemmactl"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "traceback.txt"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(scrub(text))
    except OSError as error:
        return f"no file ({folder}: {error.strerror})"
    return str(path)
