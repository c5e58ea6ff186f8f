"""An image as buildah builds it from its Dockerfile, on a stand-in base, from the staged packages. Needs root: it is a chroot."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gemmactl.resources.context import stage
from tests.inference_image.standin import Base

ROOT = Path(__file__).parents[2]
ROOM = 4 * 2**30
"""Bytes that the images take for a while."""
NAME = "built"


@dataclass(frozen=True)
class Buildah:
    """One store of images, thrown away with its folder."""

    program: Path
    folder: Path

    def command(self, *words: str) -> list[str]:
        return [
            str(self.program),
            "--root",
            f"{self.folder}/store",
            "--runroot",
            f"{self.folder}/run",
            "--storage-driver=vfs",
            *words,
        ]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, env=self.environ)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.folder)}


@dataclass(frozen=True)
class Built:
    """An image, and what is mounted into it: torch, of which the stand-in base has no copy of its own."""

    buildah: Buildah
    log: str
    mounts: tuple[str, ...]

    def missing(self, package: str) -> set[str]:
        """Pins of a requirements.txt that pip did not install."""
        rows = (ROOT / package / "requirements.txt").read_text()
        wanted = {name.lower() for name in re.findall(r"^([\w.-]+)==", rows, re.MULTILINE)}
        (*_, last) = re.findall(r"^Successfully installed (.+)$", self.log, re.MULTILINE)
        known = set(re.findall(r"^Requirement already satisfied: ([\w.-]+)==", self.log, re.MULTILINE))
        got = {word.rpartition("-")[0] for word in last.split()} | known
        return wanted - {name.lower().replace("_", "-") for name in got}

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.buildah("inspect", "--type", "image", f"localhost/{NAME}"))["OCIv1"]["config"]
        return found


@contextmanager
def building(folder: Path, program: Path, packages: Sequence[str]) -> Iterator[Built]:
    """The image of the first of the packages, its store gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("buildah builds in a chroot, which takes root")
    if shutil.disk_usage(folder).free < ROOM:
        pytest.skip(f"{ROOM // 2**30} GB of disk are not free")
    buildah = Buildah(program, folder)
    try:
        yield _build(buildah, packages)
    finally:
        # what was mounted is gone with its process, or it would be deleted here together with the store
        if str(folder) not in Path("/proc/self/mounts").read_text():
            shutil.rmtree(folder, ignore_errors=True)


def _build(buildah: Buildah, packages: Sequence[str]) -> Built:
    folder = buildah.folder
    base = Base(folder / "base")
    base.make()
    box = buildah("from", "scratch").strip()
    buildah("add", "--quiet", box, str(base.root), "/")
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", box)
    buildah("commit", "--quiet", "--rm", box, "standin")
    shutil.rmtree(base.root)
    wheels = _wheels(folder, packages[0])
    conf = folder / "pip.conf"
    conf.write_text("[global]\nno-index = true\nfind-links = /wheels\n[install]\nno-compile = true\n")
    here = Path(torch.__file__).parents[1]
    parts = [p for pattern in ("torch", "torchgen", "functorch", "torch-*.dist-info") for p in here.glob(pattern)]
    mounts = tuple(f"--volume={part}:{base.python['purelib']}/{part.name}:ro" for part in parts)
    # exactly what Cloud Build gets: the staged tree, not the checkout
    context = folder / "context"
    stage(packages).write_to(context)
    args = ["--isolation=chroot", "--layers=false", "--build-arg=BASE=localhost/standin", f"--volume={wheels}:/wheels:ro"]
    said = buildah(
        "bud",
        *args,
        f"--volume={conf}:/etc/pip.conf:ro",
        *mounts,
        f"--file={context / packages[0] / 'Dockerfile'}",
        f"--tag={NAME}",
        str(context),
    )
    return Built(buildah, said, mounts)


def _wheels(folder: Path, package: str) -> Path:
    """The very wheels that the file names, from where this machine's pip gets them."""
    file = ROOT / package / "requirements.txt"
    exact = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet", "-r", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *exact, "-d", folder / "wheels"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "wheels"
