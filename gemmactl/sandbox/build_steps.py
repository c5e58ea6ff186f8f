"""What one build step means here: docker build, tag, push, pull, in the forms that are in use. Knows no API and no status."""

from __future__ import annotations

import re
import shlex
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

from gemmactl.sandbox.assembling import BuildFailed, Image, assemble
from gemmactl.sandbox.dockerfile import DockerfileError, parse

Say = Callable[[str], None]
_BUILDER: Final = re.compile(r"gcr\.io/cloud-builders/docker(:.*|@.*)?")
_KNOWN_FIELDS: Final = {"name", "args", "dir", "id", "waitFor", "env", "entrypoint", "timeout", "status", "timing", "pullTiming"}
_VALUED: Final = frozenset(
    (
        "-f",
        "--file",
        "-t",
        "--tag",
        "--build-arg",
        "--network",
        "--cache-from",
        "--platform",
        "--label",
        "--progress",
        "--shm-size",
    )
)
_BARE: Final = {"--no-cache", "--pull", "-q", "--quiet", "--rm", "--force-rm", "--squash", "--compress"}
_LENIENT: Final = re.compile(r"\|\|\s*(true|exit 0|:)\s*$")


class StepFailed(Exception):  # noqa: N818 - an outcome of the user's build
    """A step ended with a status that is not 0; what it said is already in the log."""


class Registry(Protocol):
    """Where pushes go and pulls come from, as the build's service account."""

    def push(self, tag: str, image: Image, say: Say) -> str:
        """Digest. Raises StepFailed after the refusal was logged."""
        ...

    def pull(self, tag: str, say: Say) -> Image | None: ...


@dataclass
class Docker:
    """The docker daemon of one build: its workspace and the images it holds."""

    workspace: Path
    scratch: Path
    registry: Registry
    images: dict[str, Image] = field(default_factory=dict)
    _built: int = 0

    def step(self, step: Mapping[str, Any], say: Say) -> None:
        """Run one step of the build.

        Raises:
            StepFailed: its command failed, or has a form that the sandbox doesn't know.
        """
        unknown = set(step) - _KNOWN_FIELDS
        if unknown or not _BUILDER.fullmatch(step.get("name", "")):
            what = f"the field {min(unknown)}" if unknown else f"the builder {step.get('name', '')}"
            self._refuse(what, say)
        folder = self.workspace / _relative(step.get("dir", "") or ".")
        args = list(step.get("args", []))
        entry = step.get("entrypoint", "") or "docker"
        if entry in ("bash", "sh", "/bin/bash", "/bin/sh"):
            self._script(args, folder, say)
        elif entry == "docker":
            self._command(args, folder, say)
        else:
            self._refuse(f"the entrypoint {entry}", say)

    def _refuse(self, what: str, say: Say) -> None:
        say(f"SANDBOX: {what} is not something the sandbox can run: it knows docker build, tag, push and pull only.")
        raise StepFailed

    def _script(self, args: Sequence[str], folder: Path, say: Say) -> None:
        if len(args) != 2 or not re.fullmatch(r"-[euxo]*c", args[0]):
            self._refuse(f"the script call {' '.join(args)}", say)
        lines = [part.strip() for part in re.split(r"\n|;|&&", re.sub(r"\\\n", " ", args[1])) if part.strip()]
        for line in lines:
            lenient = bool(_LENIENT.search(line))
            words = shlex.split(_LENIENT.sub("", line))
            if words[:1] == ["set"]:
                continue
            if words[:1] != ["docker"] or set(words) & {"|", "||", "&", ">", "<"}:
                self._refuse(f"the script line {line!r}", say)
            try:
                self._command(words[1:], folder, say)
            except StepFailed:
                if not lenient:
                    raise

    def _command(self, args: Sequence[str], folder: Path, say: Say) -> None:
        verb = args[0] if args else ""
        if verb == "build" or list(args[:2]) == ["buildx", "build"]:
            self._build(list(args[1 if verb == "build" else 2 :]), folder, say)
        elif verb == "tag" and len(args) == 3:
            self.images[args[2]] = self._local(args[1], say)
        elif verb == "push" and len(args) == 2:
            self.registry.push(args[1], self._local(args[1], say), say)
        elif verb == "pull" and len(args) in (2, 3):
            pulled = self.registry.pull(args[-1], say)
            if pulled:
                self.images[args[-1]] = pulled
        else:
            self._refuse("docker " + " ".join(args), say)

    def _local(self, tag: str, say: Say) -> Image:
        if tag not in self.images:
            say(f"An image does not exist locally with the tag: {tag.rpartition(':')[0] or tag}")
            raise StepFailed
        return self.images[tag]

    def _build(self, args: list[str], folder: Path, say: Say) -> None:
        flags, places = self._flags(args, say)
        if len(places) != 1 or places[0] == "-" or "://" in places[0]:
            say('"docker build" requires exactly 1 argument, a folder of the workspace.')
            raise StepFailed
        context = folder / _relative(places[0])
        file = folder / _relative(flags["file"][-1]) if flags["file"] else context / "Dockerfile"
        if not context.is_dir():
            say(f"unable to prepare context: path {places[0]!r} not found")
            raise StepFailed
        if not file.is_file():
            # source: Docker's classic builder
            said = flags["file"][-1] if flags["file"] else "Dockerfile"
            lost = f"lstat /workspace/{said}: no such file or directory"
            say(f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {lost}")
            raise StepFailed
        own = file.with_name(file.name + ".dockerignore")
        ignore = next((p.read_text() for p in (own, context / ".dockerignore") if p.is_file()), "")
        self._built += 1
        try:
            stages = parse(file.read_text(), dict(pair.split("=", 1) for pair in flags["build-arg"] if "=" in pair))
            image = assemble(stages, context, self.scratch / f"build-{self._built}", ignore, say)
        except (DockerfileError, BuildFailed) as error:
            say(str(error))
            raise StepFailed from error
        say(f"Successfully built {image.digest().removeprefix('sha256:')[:12]}")
        for tag in flags["tag"]:
            self.images[tag] = image
            say(f"Successfully tagged {tag}")
        if "--push" in args:
            for tag in flags["tag"]:
                self.registry.push(tag, image, say)

    def _flags(self, args: list[str], say: Say) -> tuple[dict[str, list[str]], list[str]]:
        flags: dict[str, list[str]] = {"file": [], "tag": [], "build-arg": []}
        places: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if not word.startswith("-") or word == "-":
                places.append(word)
                continue
            name, sign, value = word.partition("=")
            if name in _BARE or (name in ("--push", "--load") and not sign):
                continue
            if name not in _VALUED:
                self._refuse(f"docker build {name}", say)
            if not sign:
                if not rest:
                    say(f"flag needs an argument: {name}")
                    raise StepFailed
                value = rest.pop(0)
            long = {"-f": "file", "-t": "tag"}.get(name, name.lstrip("-"))
            flags.setdefault(long, []).append(value)
        return flags, places


def unpack(archive: Path, workspace: Path) -> None:
    """Unpack an uploaded tar.gz; a member that would leave the workspace is refused.

    Raises:
        BuildFailed: not a tar archive, or one with dangerous members.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(workspace, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BuildFailed(f"error fetching storage source: the archive can't be unpacked: {error}") from error


def _relative(path: str) -> str:
    """A path of the workspace, without a way out of it."""
    clean = PurePosixPath(path.removeprefix("/workspace").lstrip("/") or ".")
    return "." if ".." in clean.parts else str(clean)
