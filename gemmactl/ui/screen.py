"""The person at the other end: implements Voice, and shows a Result or a Trouble. Knows no verb."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Final, Literal, Protocol, TextIO

from gemmactl.errors import usage
from gemmactl.kernel.events import Event
from gemmactl.result import Block, Line, Result, Target, Verbatim
from gemmactl.scrub import scrub_document
from gemmactl.ui import layout
from gemmactl.ui.progress import Lines
from gemmactl.ui.stream import Stream, open_stream

Format = Literal["text", "json"]

BANNERS: Final[Mapping[Target, str]] = {"sandbox": "SANDBOX (this machine, no cloud, $0)", "local": "", "cloud": ""}


class Screen:
    """stdout for data, stderr for talk; one owner of both."""

    def __init__(
        self,
        format: Format,  # noqa: A002 - the flag's own name
        environ: Mapping[str, str],
        *,
        data_verb: bool = False,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.format = format
        self._environ = environ
        self._stdin = stdin or sys.stdin
        self._out = open_stream(stdout or sys.stdout, environ)
        self._err = open_stream(stderr or sys.stderr, environ)
        self._data_verb = data_verb
        self._progress: _Progress | None = None
        self._aimed: Target | None = None

    @property
    def streams(self) -> bool:
        return self.format == "text"

    @property
    def target(self) -> Target:
        """What was aimed at; the cloud until somebody says otherwise."""
        return self._aimed or "cloud"

    def aim(self, target: Target) -> None:
        if self._aimed is None and BANNERS[target]:
            stream = self._err if self._data_verb or self.format == "json" else self._out
            stream.lines([layout.Styled(BANNERS[target], "warn", bold=True)])
        self._aimed = target

    def say(self, *blocks: Block) -> None:
        self.settle()
        self._err.lines(layout.lay(blocks, self._err.width))

    def show(self, *blocks: Block) -> None:
        self.say(*blocks)

    def data(self, text: str) -> None:
        self.settle()
        self._out.raw(text)

    def events(self, event: Event) -> None:
        if self._progress is None:
            self._progress = _live(self._err) if self._err.fancy else Lines(self._err)
        self._progress(event)

    def settle(self) -> None:
        """Put the moving region away before anything else is written."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def somebody(self) -> bool:
        """Whether a person can be asked."""
        quiet = self._environ.get("CI") or self._environ.get("CLOUDSDK_CORE_DISABLE_PROMPTS", "0").lower() in ("1", "true")
        return not quiet and self._stdin.isatty() and self._err.file.isatty()

    def confirm(self, question: str, *, flag: str) -> bool:
        self.settle()
        if not self.somebody():
            raise usage(
                "this needs a yes, and there is nobody to ask",
                why=f"{question} stdin or stderr is no terminal, or CI is set",
                remedy=f"look at what is said above, then run it with {flag}",
                code="confirmation-needed",
            )
        self._err.raw(f"{question} [y/N] ")
        return self._stdin.readline().strip().lower() in ("y", "yes")

    def ask(self, question: str, *, instead: str, default: str = "") -> str:
        self.settle()
        if not self.somebody():
            raise usage(
                "a question needs an answer, and there is nobody to ask",
                why=f"{question}; stdin or stderr is no terminal, or CI is set",
                remedy=instead,
                code="answer-needed",
            )
        self._err.raw(f"{question}{f' [{default}]' if default else ''}: ")
        return self._stdin.readline().strip() or default

    def secret(self, question: str, *, instead: str) -> str:
        self.settle()
        if not self.somebody():
            raise usage(
                f"{question} is needed, and there is nobody to ask",
                why="stdin or stderr is no terminal, or CI is set",
                remedy=instead,
                code="secret-needed",
            )
        from getpass import getpass

        return getpass(f"{question} (not shown): ", stream=self._err.file)

    def result(self, result: Result) -> None:
        """The end of a verb."""
        self.settle()
        if self.format == "json":
            self._out.raw(json.dumps(scrub_document(result.document(), result.reveals), ensure_ascii=False, indent=2) + "\n")
            return
        for block in result.blocks:
            if isinstance(block, Verbatim):  # an answer leaves as it came: not scrubbed, not wrapped
                self._out.raw(block.text if block.text.endswith("\n") else f"{block.text}\n")
            else:
                self._out.lines(layout.lay((block,), self._out.width))
        for number, problem in enumerate(result.problems):
            self._err.lines(layout.trouble(problem, self._err.width, "cause" if number and result.explained else "error"))
        if result.next:
            self.say(Line("next:", "dim"), *(Line(f"  {command}") for command in result.next))


class _Progress(Protocol):
    def __call__(self, event: Event) -> None: ...
    def stop(self) -> None: ...


def _live(stream: Stream) -> _Progress:
    from gemmactl.ui.live import Live

    return Live(stream)
