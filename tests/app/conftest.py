"""A shell for each test."""

from pathlib import Path

import pytest

from tests.app.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """In an empty folder, which is the home too."""
    return Shell(tmp_path)
