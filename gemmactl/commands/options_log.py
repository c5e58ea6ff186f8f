"""The options of the verbs that show a log. Knows no verb."""

from __future__ import annotations

from typing import Annotated

import typer

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on; Ctrl-C ends it.")]
Tail = Annotated[int, typer.Option("--tail", "-n", min=1, max=1000, help="The newest N entries.")]
Since = Annotated[str | None, typer.Option(help="Only entries since 30m, 2h, 1d, or a time such as 2026-11-22T10:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Only entries before that time, in the same forms.")]
Severity = Annotated[str | None, typer.Option(help="Only this severity and above: DEBUG, INFO, WARNING, ERROR.")]
Search = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Only entries that hold this text, anywhere in them and in upper or lower case."),
]
Raw = Annotated[bool, typer.Option("--raw", help="Each entry whole, as a line of JSON: labels, trace and all that the API sent.")]
