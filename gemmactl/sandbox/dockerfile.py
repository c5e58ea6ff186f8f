"""A Dockerfile as data: stages with what the sandbox needs of each instruction. Knows no file but the text."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

_VARIABLE: Final = re.compile(r"\\\$|\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))")
_IGNORED: Final = {"LABEL", "MAINTAINER", "STOPSIGNAL", "HEALTHCHECK", "SHELL", "VOLUME"}


class DockerfileError(Exception):
    """A Dockerfile that can't be built; the text names the line."""


@dataclass(frozen=True)
class Copy:
    """COPY or ADD: names relative to the context (or to `stage`), and an absolute target."""

    line: int
    sources: tuple[str, ...]
    target: str
    """Absolute in the image; ends in / when it names a folder."""
    stage: str = ""
    """`--from=`; "" is the build context."""
    chmod: str = ""


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    copies: list[Copy] = field(default_factory=list)
    runs: list[tuple[int, str]] = field(default_factory=list)
    workdirs: list[str] = field(default_factory=list)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    lines: list[tuple[int, str]] = field(default_factory=list)
    """Every instruction with its number, as a build log shows it."""


def parse(text: str, build_args: Mapping[str, str] | None = None) -> list[Stage]:
    """Read a Dockerfile.

    Raises:
        DockerfileError: an unknown instruction, a shell-form ENTRYPOINT or CMD, a heredoc, a malformed line.
    """
    given = dict(build_args or {})
    known: dict[str, str] = {}
    stages: list[Stage] = []
    for number, word, rest in _instructions(text):
        if word == "ARG":
            name, _, default = rest.partition("=")
            scope = stages[-1].env if stages else {}
            # an ARG before FROM is visible in FROM lines, and in a stage once it is named there again
            known[name] = given.get(name, expand(_unquoted(default), {**known, **scope}) if default else known.get(name, ""))
        elif word == "FROM":
            stages.append(_from(number, rest, known, stages))
        elif not stages:
            raise DockerfileError(f"dockerfile parse error line {number}: no build stage in current context")
        else:
            _apply(stages[-1], number, word, rest, known)
        if stages:
            stages[-1].lines.append((number, f"{word} {rest}"))
    if not stages:
        raise DockerfileError("the Dockerfile contains no FROM instruction")
    return stages


def _from(number: int, rest: str, args: Mapping[str, str], stages: list[Stage]) -> Stage:
    words = [w for w in rest.split() if not w.startswith("--")]
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise DockerfileError(f"dockerfile parse error line {number}: FROM requires either one or three arguments")
    base = expand(words[0], args)
    if not base:
        raise DockerfileError(f"dockerfile parse error line {number}: base name ({words[0]}) should not be blank")
    name = words[2].lower() if len(words) == 3 else str(len(stages))
    for earlier in stages:
        if earlier.name == base.lower():
            return Stage(base, name, dict(earlier.env), earlier.workdir, earlier.user, entrypoint=earlier.entrypoint,
                         cmd=earlier.cmd, exposed=earlier.exposed)  # fmt: skip
    return Stage(base, name)


def _apply(stage: Stage, number: int, word: str, rest: str, args: Mapping[str, str]) -> None:
    values = {**args, **stage.env}
    if word in ("COPY", "ADD"):
        stage.copies.append(_copy(number, word, rest, stage.workdir, values))
    elif word == "WORKDIR":
        stage.workdir = str(PurePosixPath(stage.workdir) / expand(_unquoted(rest), values))
        stage.workdirs.append(stage.workdir)
    elif word == "ENV":
        stage.env.update(_env(number, rest, values))
    elif word == "RUN":
        stage.runs.append((number, rest))
    elif word == "USER":
        stage.user = expand(rest, values)
    elif word == "EXPOSE":
        stage.exposed += tuple(expand(rest, values).split())
    elif word == "ENTRYPOINT":
        stage.entrypoint, stage.cmd = _exec_form(number, word, rest), ()
    elif word == "CMD":
        stage.cmd = _exec_form(number, word, rest)
    elif word not in _IGNORED:
        raise DockerfileError(f"dockerfile parse error line {number}: unknown instruction: {word}")


def _exec_form(number: int, word: str, rest: str) -> tuple[str, ...]:
    try:
        argv = json.loads(rest)
    except ValueError:
        argv = None
    if not isinstance(argv, list) or not all(isinstance(a, str) for a in argv):
        # a shell as process 1 swallows SIGTERM, so Cloud Run would always have to kill the container
        raise DockerfileError(
            f"line {number}: shell-form {word} is refused by the sandbox: the shell would keep SIGTERM from the server; "
            f'write it as a JSON list: {word} ["program", "argument"]'
        )
    return tuple(argv)


def _copy(number: int, word: str, rest: str, workdir: str, values: Mapping[str, str]) -> Copy:
    flags: dict[str, str] = {}
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        key, _, value = flag[2:].partition("=")
        if key not in ("chown", "chmod", "from", "link"):
            raise DockerfileError(f"dockerfile parse error line {number}: unknown flag: {key}")
        flags[key] = expand(value, values)
        rest = rest.lstrip()
    if rest.startswith("<<") or " <<" in rest:
        raise DockerfileError(f"line {number}: the sandbox can't build a heredoc")
    words = list(json.loads(rest)) if rest.startswith("[") else shlex.split(rest)
    words = [expand(w, values) for w in words]
    if len(words) < 2:
        raise DockerfileError(f"dockerfile parse error line {number}: {word} requires at least two arguments")
    if word == "ADD" and any("://" in w or re.search(r"\.(tar|tgz|tar\.\w+)$", w) for w in words[:-1]):
        raise DockerfileError(f"line {number}: the sandbox can't ADD a URL or unpack an archive; use COPY")
    target = str(PurePosixPath(workdir) / words[-1])
    folder = words[-1].endswith(("/", "/.")) or words[-1] == "." or len(words) > 2
    if len(words) > 2 and not (words[-1].endswith("/") or words[-1] == "."):
        raise DockerfileError(
            f"line {number}: when using {word} with more than one source file, "
            "the destination must be a directory and end with a /"
        )
    return Copy(
        number, tuple(words[:-1]), target.rstrip("/") + "/" if folder else target, flags.get("from", ""), flags.get("chmod", "")
    )


def _env(number: int, rest: str, values: Mapping[str, str]) -> dict[str, str]:
    first = rest.split(None, 1)
    if "=" not in first[0]:
        if len(first) < 2:
            raise DockerfileError(f"dockerfile parse error line {number}: ENV must have two arguments")
        return {first[0]: expand(first[1], values)}
    out = {}
    for pair in shlex.split(rest.replace("\\$", "\\\\$")):
        name, sign, value = pair.partition("=")
        if not sign:
            raise DockerfileError(
                f"dockerfile parse error line {number}: can't find = in {pair!r}. Must be of the form: name=value"
            )
        out[name] = expand(value, values)
    return out


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word}; unknown names are empty, as in Docker."""

    def one(found: re.Match[str]) -> str:
        if found[0] == "\\$":
            return "$"
        value = values.get(found[1] or found[4], "")
        if found[2] == "-":
            return value or found[3]
        return (found[3] if value else "") if found[2] == "+" else value

    return _VARIABLE.sub(one, text)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _instructions(text: str) -> list[tuple[int, str, str]]:
    """(line number, INSTRUCTION, rest) with continuation lines joined and comments gone."""
    found: list[tuple[int, str, str]] = []
    held, begun = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#") or (not line and held):
            continue
        if not held:
            begun = number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        whole, held = (held + line).strip(), ""
        if whole:
            word, _, rest = whole.partition(" ")
            found.append((begun, word.upper(), rest.strip()))
    if held:
        raise DockerfileError(f"dockerfile parse error line {begun}: the last line ends in a continuation")
    return found
