"""What every verb gets from the door: the voice, the environment, the settings and the way to the cloud. Knows no option."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from gemmactl.serving.place import Place
    from gemmactl.settings import Settings, Value
    from gemmactl.voice import Voice

SESSION: Final = "gemmactl.session"
IMPERSONATE: Final = "impersonate_service_account"
VALUED: Final = ("--format", "--as")
"""Flags with a value of their own word that no repeated command keeps."""


@dataclass(frozen=True)
class Session:
    """One run of one command line."""

    voice: Voice
    environ: Mapping[str, str]
    folder: Path
    home: Path
    format: Literal["text", "json"]
    argv: Sequence[str] = ()
    impersonate: str | None = None
    """--impersonate-service-account of this command line."""

    def typed(self, ctx: typer.Context, *but: str) -> list[str]:
        """Names of the parameters that stand on the command line, without those in `but`."""
        return sorted(p for p in ctx.params if p not in but and getattr(ctx.get_parameter_source(p), "name", "") == "COMMANDLINE")

    def alone(self, ctx: typer.Context, flag: str, *beside: str, why: str = "") -> None:
        """Refuse every option but `beside` next to a flag that says everything itself: a file, or what `why` says.

        Raises:
            Trouble: (usage) there is another one.
        """
        if typed := self.typed(ctx, flag, *beside, "format", IMPERSONATE):
            from gemmactl.errors import usage

            given = {p.name for p in ctx.command.params if p.param_type_name == "argument"}
            named = ", ".join(p.upper() if p in given else f"--{p.replace('_', '-')}" for p in typed)
            word = f"--{flag.replace('_', '-')}"
            raise usage(
                f"{named} can't go with {word}",
                why=why or "the file says everything about it",
                remedy=f"leave {named} out, or {word}" if why else f"put it into the file, or leave {word} out",
                code="flags-contradict",
            )

    def needs(self, flag: str, other: str) -> NoReturn:
        """Refuse a flag that means nothing without another one."""
        from gemmactl.errors import usage

        here, there = (f"--{name.replace('_', '-')}" for name in (flag, other))
        raise usage(
            f"{here} needs {there}", why="it changes what that reads", remedy=f"add {there} FILE", code="flags-contradict"
        )

    def settings(self) -> Settings:
        from gemmactl.settings import load

        return load(self.environ, self.folder, self.home)

    def settings_outside(self) -> Settings:
        """The same without gemmactl.yaml: for the verb that writes it."""
        from gemmactl.settings import load

        return load(self.environ, None, self.home)

    def again(self, verb: str, *drop: str) -> str:
        """The same command line with another verb, ready to copy, without --format and the flags in `drop`."""
        words = ["gemmactl", verb]
        value = False
        for word in self.argv[1:]:
            if not (value or word.partition("=")[0] in (*drop, *VALUED)):
                words.append(word)
            value = word in VALUED
        return shlex.join(words)

    def place(self, settings: Settings, project: str | None, region: str | None) -> Place:
        """Where the command works; says so before anything else."""
        return self.at(settings.project(project), settings.region(region))

    def at(self, project: Value, region: Value) -> Place:
        """The same where both are known already."""
        from gemmactl.serving.place import go

        return go(project, region, self.voice, self.settings_outside().impersonated(self.impersonate))


def session(ctx: typer.Context) -> Session:
    """The session that the door put into the context."""
    found: Session = ctx.obj[SESSION]
    return replace(found, impersonate=ctx.params.get(IMPERSONATE))
