"""What a newcomer types first: `make demo` in a fresh clone, with an environment of its own, from install to the last screen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house import tree

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

SCRATCH = {"VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
"""Of the environment that this test itself runs in."""


def test_make_demo_from_a_fresh_clone(tmp_path: Path) -> None:
    """It says what it downloads before it does, tells the whole story, leaves nothing outside the clone, and is quick again."""
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    for path in tree.files():
        target = clone / tree.relative(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    environment = {name: value for name, value in os.environ.items() if name not in SCRATCH} | {"CI": "true"}
    environment |= {"XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")}
    # the user's own pip configuration stays in force: HOME is not moved while packages are installed
    first = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert first.returncode == 0, first.stdout[-8000:]
    announced = next(number for number, line in enumerate(first.stdout.splitlines()) if line.startswith("About to download"))
    assert announced <= 1, "only the making of the environment may come before"
    assert "Nothing to change" in first.stdout
    assert "좋은 아침입니다." in first.stdout
    assert list(home.rglob("*")) == []
    again = subprocess.run(["make", "--dry-run", "demo"], cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert not re.search(r"pip\b.*install", again.stdout), again.stdout
