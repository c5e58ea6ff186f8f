"""The rule for tools that tests start: a missing one fails under CI by its name and is skipped elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import find_tool
from tests.house import tree


def test_a_tool_that_is_there_is_found(tmp_path: Path) -> None:
    """The path of the executable comes back."""
    executable = tmp_path / "hammer"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    assert find_tool("hammer", path=str(tmp_path), ci=True) == executable


def test_a_missing_tool_fails_under_ci_by_name(tmp_path: Path) -> None:
    """CI must install what tests need: it can't go green by skipping."""
    with pytest.raises(pytest.fail.Exception, match="hammer is not installed"):
        find_tool("hammer", path=str(tmp_path), ci=True)


def test_a_missing_tool_is_skipped_elsewhere(tmp_path: Path) -> None:
    """A newcomer needs Python and make alone."""
    with pytest.raises(pytest.skip.Exception, match="hammer is not installed"):
        find_tool("hammer", path=str(tmp_path), ci=False)


@pytest.mark.parametrize("script", [".ci/run"])
def test_shell_scripts_parse(script: str) -> None:
    """Bash reads the script to its end, and the script stops at the first error."""
    path = tree.ROOT / script
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert "set -euo pipefail" in path.read_text()
