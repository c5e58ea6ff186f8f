"""A base image out of this machine's own files: a shell, useradd, Python with pip, their libraries. Stands for python:3.11-slim.

No registry is asked: what the Dockerfile does to a base is the same whichever base it is.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

PROGRAMS = ("sh", "useradd", "nologin", "env", "find")
FILES = ("/etc/passwd", "/etc/group", "/etc/login.defs", "/etc/nsswitch.conf", "/etc/ld.so.cache")
# wheels expect these of every Linux. source: PEP 600, the libraries of manylinux
EVERY_LINUX = (
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libdl.so.2",
    "libz.so.1",
    "libutil.so.1",
)


@dataclass(frozen=True)
class Base:
    """A root file system in the making."""

    root: Path
    seen: set[str] = field(default_factory=set)

    @cached_property
    def python(self) -> dict[str, str]:
        """Paths of the interpreter under the tests' virtual environment: itself, stdlib, where pip installs, its platform."""
        code = (
            "import json, sys, sysconfig as s;"
            "print(json.dumps({'exe': sys.executable, **{k: s.get_path(k) for k in ('stdlib', 'platstdlib', 'purelib')}}))"
        )
        exe = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
        found: dict[str, str] = json.loads(subprocess.check_output([exe, "-I", "-c", code]))
        return found

    def make(self) -> None:
        """Everything into the root."""
        for folder in ("tmp", "proc", "sys", "dev", "app", "etc", "root", "usr/local/bin", "usr/bin"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        for link in ("bin", "sbin", "lib", "lib64"):
            if Path("/", link).is_symlink():
                (self.root / "usr" / Path("/", link).readlink().name).mkdir(parents=True, exist_ok=True)
                (self.root / link).symlink_to(Path("/", link).readlink())
        for name in PROGRAMS:
            found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
            assert found, name
            self.program(Path(found))
        compiler = self.root / "usr/bin/cc"  # the fine-tune's Dockerfile installs one where the base has none
        compiler.write_text("#!/bin/sh\n")
        compiler.chmod(0o755)
        for name in FILES:
            if Path(name).exists():
                self.copy(Path(name))
        self.interpreter()
        cache = subprocess.check_output(["/sbin/ldconfig", "-p"], text=True)
        for name in EVERY_LINUX:
            if found := re.search(rf"^\s+{re.escape(name)} .*x86-64.* => (\S+)$", cache, re.MULTILINE):
                self.program(Path(found[1]))

    def interpreter(self) -> None:
        python = self.python
        self.program(Path(python["exe"]))
        for folder in {python["stdlib"], python["platstdlib"]}:
            target = self.root / folder.lstrip("/")
            leave = shutil.ignore_patterns(
                "site-packages", "dist-packages", "test", "__pycache__", "idlelib", "tkinter", "config-*", "*.a"
            )
            shutil.copytree(folder, target, ignore=leave, symlinks=True, dirs_exist_ok=True)
            for library in target.rglob("*.so"):
                self.libraries(Path("/", library.relative_to(self.root)))
        packages = self.root / python["purelib"].lstrip("/")
        packages.mkdir(parents=True, exist_ok=True)
        here = Path(torch.__file__).parents[1]
        for found in (here / "pip", *here.glob("pip-*.dist-info")):
            shutil.copytree(found, packages / found.name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / "usr/local/bin/python3").symlink_to(python["exe"])

    def program(self, path: Path) -> None:
        self.copy(path)
        self.libraries(path)

    def libraries(self, path: Path) -> None:
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for found in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", said, re.MULTILINE):
            self.copy(Path(found))

    def copy(self, path: Path) -> None:
        """A file under its own name, its content whatever the links in between."""
        if str(path) in self.seen:
            return
        self.seen.add(str(path))
        target = self.root / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(path.resolve(), target)
