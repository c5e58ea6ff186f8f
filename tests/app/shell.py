"""Runs `python -m gemmactl` as a user's shell would: a process of its own, an environment of its own, no terminal."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemmactl.app import main

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "gemmactl" / "sandbox" / "sample" / "model"


@dataclass(frozen=True)
class Ran:
    """What came of one command."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """The JSON document; fails when stdout holds anything beside it."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def inside(folder: Path, *argv: str, **environ: str) -> Ran:
    """The same in this process, for what needs no process of its own; stdin is pytest's, which is no terminal."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv, {"HOME": str(folder), **environ}, folder)
    return Ran(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Shell:
    """A home and a working directory of its own."""

    folder: Path
    limit: float = 120

    def __call__(self, *argv: str, stdin: str = "", **environ: str) -> Ran:
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "LC_ALL": "C",  # the plainest machine: answers in Korean must still come out
            **environ,
        }
        line = [sys.executable, "-m", "gemmactl", *argv]
        done = subprocess.run(
            line, input=stdin.encode(), capture_output=True, env=env, cwd=self.folder, timeout=self.limit, check=False
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
