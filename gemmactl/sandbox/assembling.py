"""From a context folder and a parsed Dockerfile to an image's run folder: copies what COPY names, runs nothing."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gemmactl.sandbox.dockerfile import Copy, DockerfileError, Stage

Say = Callable[[str], None]

PLAIN = "no image layers are built in the sandbox: files are copied, RUN lines are not executed, base images are not pulled"


@dataclass(frozen=True)
class Image:
    """What a build leaves: a folder and how to start in it."""

    root: Path
    config: Mapping[str, Any]

    def digest(self) -> str:
        """sha256 over every file's path, mode and bytes and over the configuration."""
        total = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for file in sorted(p for p in self.root.rglob("*") if p.is_file() or p.is_symlink()):
            inner = hashlib.sha256(str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()).hexdigest()
            executable = not file.is_symlink() and bool(file.stat().st_mode & 0o100)
            total.update(f"{file.relative_to(self.root)}\0{executable}\0{inner}\n".encode())
        return f"sha256:{total.hexdigest()}"


class BuildFailed(Exception):  # noqa: N818 - an outcome of the user's build
    """The build ends here; the text is the log's last word on why."""


def assemble(stages: list[Stage], context: Path, scratch: Path, ignore: str, say: Say) -> Image:
    """Make the last stage's image under `scratch`. `ignore` is the text of a .dockerignore.

    Raises:
        BuildFailed: a COPY names what is not there.
    """
    say(f"SANDBOX: {PLAIN}.")
    excluded = ignored(ignore)
    roots: dict[str, Path] = {}
    ran: dict[str, bool] = {}
    for number, stage in enumerate(stages):
        root = scratch / f"stage-{number}"
        if stage.base.lower() in roots:
            shutil.copytree(roots[stage.base.lower()], root, symlinks=True)
        else:
            root.mkdir(parents=True)
        for folder in (stage.workdir, *stage.workdirs):
            inside(root, folder).mkdir(parents=True, exist_ok=True)
        copies = {c.line: c for c in stage.copies}
        for step, (line, text) in enumerate(stage.lines, 1):
            say(f"Step {step}/{len(stage.lines)} : {text}")
            if line in copies:
                _copy(copies[line], root, context, excluded, roots, ran, say)
            elif text.startswith("RUN "):
                say(" ---> not executed in the sandbox")
        roots[stage.name] = roots[str(number)] = root
        ran[stage.name] = ran[str(number)] = bool(stage.runs) or ran.get(stage.base.lower(), False)
    last = stages[-1]
    config = {
        "entrypoint": list(last.entrypoint),
        "cmd": list(last.cmd),
        "env": dict(last.env),
        "workdir": last.workdir,
        "user": last.user,
        "exposed": list(last.exposed),
    }
    return Image(roots[str(len(stages) - 1)], config)


def _copy(
    copy: Copy, root: Path, context: Path, excluded: Callable[[str], bool], roots: dict[str, Path], ran: dict[str, bool], say: Say
) -> None:
    base = context
    skip: Callable[[str], bool] = excluded
    if copy.stage:
        stage = copy.stage.lower()
        if stage not in roots:
            raise BuildFailed(
                f"COPY --from={copy.stage}: the sandbox pulls no images, and there is no earlier stage of that name"
            )
        base, skip = roots[stage], lambda _path: False
    target = inside(root, copy.target)
    many = len(copy.sources) > 1 or copy.target.endswith("/")
    for wanted in copy.sources:
        found = list(_matches(base, wanted, skip))
        if not found and copy.stage and ran[copy.stage.lower()]:
            say(f" ---> {wanted}: not there, because the RUN lines of stage {copy.stage} were not executed")
            continue
        if not found:
            # source: Docker's classic builder
            raise BuildFailed(
                f"COPY failed: file not found in build context or excluded by .dockerignore: stat {wanted}: file does not exist"
            )
        for path in found:
            if path.is_dir():
                _copy_folder(path, target, base, skip)
            else:
                goal = target / path.name if many or len(found) > 1 or target.is_dir() else target
                _copy_file(path, goal)
            if copy.chmod and re.fullmatch(r"0?[0-7]{3}", copy.chmod) and not path.is_dir():
                goal.chmod(int(copy.chmod, 8) | 0o600)


def _matches(base: Path, wanted: str, skip: Callable[[str], bool]) -> Iterator[Path]:
    relative = PurePosixPath(wanted.lstrip("/"))
    if ".." in relative.parts:
        raise BuildFailed(
            f"COPY failed: forbidden path outside the build context: {wanted} ()"
        )  # source: Docker's classic builder
    text = str(relative)
    if not any(c in text for c in "*?["):
        path = base / relative
        if path.exists() and (text == "." or not skip(text)):
            yield path
        return
    for path in sorted(base.glob(text)):
        if not skip(str(path.relative_to(base))):
            yield path


def _copy_folder(source: Path, target: Path, base: Path, skip: Callable[[str], bool]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        if skip(str(path.relative_to(base))):
            continue
        goal = target / path.relative_to(source)
        if path.is_dir() and not path.is_symlink():
            goal.mkdir(parents=True, exist_ok=True)
        else:
            _copy_file(path, goal)


def _copy_file(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, goal, follow_symlinks=False)


def inside(root: Path, path: str) -> Path:
    """An absolute path of the image, below its root."""
    parts = [p for p in PurePosixPath(path).parts if p != "/"]
    if ".." in parts:
        raise DockerfileError(f"{path}: the sandbox refuses .. in a target path")
    return root.joinpath(*parts)


def ignored(text: str) -> Callable[[str], bool]:
    """Is a context path excluded by this .dockerignore? The last matching line wins, `!` includes again."""
    rules: list[tuple[bool, re.Pattern[str]]] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        keep = line.startswith("!")
        pattern = line.removeprefix("!").strip("/").removeprefix("./")
        parts = [".*" if p == "**" else fnmatch.translate(p).removeprefix("(?s:").removesuffix(")\\Z").replace(".*", "[^/]*")
                 for p in pattern.split("/")]  # fmt: skip
        expression = "/".join(parts).replace(".*/", "(?:.*/)?")
        rules.append((keep, re.compile(f"{expression}(?:/.*)?")))

    def excluded(path: str) -> bool:
        out = False
        for keep, rule in rules:
            if rule.fullmatch(path):
                out = not keep
        return out

    return excluded
