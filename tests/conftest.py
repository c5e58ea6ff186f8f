"""What every test shares: one thread per process, no network by accident, tools that must be there under CI, who begins where.

Knows no room, but those that take long.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# set before anything imports torch or a cloud client: two workers on two cores, and no look at the machine's own settings
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# a process that keeps nothing compiled compiles again what the one before it had: seconds for each start of a tool of 500 modules
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
for _name in tuple(os.environ):
    if _name.startswith(("GEMMACTL_", "GOOGLE_", "CLOUDSDK_")) or _name in {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}:
        del os.environ[_name]

# the same cases in every run: a change is judged by what it changed. HYPOTHESIS_PROFILE=search looks for new ones
settings.register_profile("steady", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


LONGEST_FIRST = ("tests/wire/", "tests/local/", "tests/house/test_lint.py")
"""Where one file takes half a minute: at the end of a run the other worker would only wait for it."""


def pytest_collection(session: pytest.Session) -> None:
    """In a run of everything the second worker reads the modules from the end: each one is compiled by one of the two."""
    here = Path(__file__).resolve().parent
    if os.environ.get("PYTEST_XDIST_WORKER") != "gw1" or [Path(one).resolve() for one in session.config.args] != [here]:
        return
    for path in sorted(here.rglob("test_*.py"), reverse=True):
        if (path.parent / "__init__.py").exists():
            with contextlib.suppress(Exception, pytest.skip.Exception):  # the collection tells it
                importlib.import_module(".".join(path.relative_to(here.parent).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which files are handed out."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST_FIRST))


def find_tool(name: str, *, path: str | None = None, ci: bool) -> Path:
    """The executable `name`. Absent: the test fails by the tool's name under CI, and is skipped elsewhere."""
    found = shutil.which(name, path=path)
    if found:
        return Path(found)
    if ci:
        pytest.fail(f"{name} is not installed; CI installs what tests need: add it to debian_tools in .ci/run")
    pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """`tool("git")`: the path of an executable that the test starts."""
    return lambda name: find_tool(name, ci=bool(os.environ.get("CI")))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own handler: a test run that was started in the background inherits a SIGINT that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
