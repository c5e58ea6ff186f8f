"""ruff and mypy as tests. Knows their command lines; pyproject.toml has the rules."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house import tree


@pytest.mark.parametrize("options", [("check", "."), ("format", "--check", ".")], ids=["rules", "form"])
def test_ruff_is_content(options: tuple[str, ...]) -> None:
    """Every rule of pyproject.toml is kept, and every file has the formatter's form (`make format` gives it)."""
    outcome = subprocess.run(
        [sys.executable, "-m", "ruff", *options, "--no-cache"], cwd=tree.ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.timeout(600)
def test_mypy_strict_is_content() -> None:
    """The packages are fully typed."""
    outcome = subprocess.run([sys.executable, "-m", "mypy"], cwd=tree.ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
