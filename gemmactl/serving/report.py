"""doctor's report: its place is taken before any work, and it is written whatever becomes of that."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmactl.errors import Trouble, usage
from gemmactl.result import Line, Result, problem
from gemmactl.scrub import scrub, scrub_document

if TYPE_CHECKING:
    from gemmactl.settings import Settings
    from gemmactl.voice import Voice

SCHEMA: Final = "gemmactl/report.v1"
PACKAGES: Final = (
    "gemmactl", "typer", "google-cloud-run", "google-cloud-build", "google-cloud-storage", "google-cloud-artifact-registry",
    "google-cloud-secret-manager", "google-auth", "google-api-core", "torch", "transformers",
)  # fmt: skip
QUIET: Final = frozenset({"set_env_vars", "set_secrets", "hf_token"})
"""Settings whose values stay out: they may hold anything. That they are set, and where, is told."""


class Report:
    """What is known so far. One thread owns it."""

    def __init__(self, settings: Settings, values: Mapping[str, str | None]) -> None:
        self._settings, self._values = settings, values
        self._known: dict[str, object] = {"findings": []}
        self._ended: dict[str, object] = {"complete": False}

    def keep(self, known: Mapping[str, object]) -> None:
        """Findings, undo lines: what comes later wins."""
        self._known |= known

    def ended(self, result: Result) -> None:
        """The work came to its end, good or bad."""
        self._known |= result.data
        self._ended = {"complete": True, "exit": int(result.exit), "problems": [problem(t) for t in result.problems]}

    def failed(self, error: BaseException) -> None:
        """It did not."""
        if isinstance(error, Trouble):
            told = problem(error)
            self._ended = {"complete": False, "exit": int(error.exit), "problems": [told]}
        else:
            words = "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
            self._ended = {"complete": False, "problems": [{"what": words}]}

    def document(self) -> dict[str, Any]:
        """Versions, settings with their origins, findings and the end, without anything that looks like a secret."""
        from gemmactl.settings import KEYS

        told = {}
        for key in KEYS:
            if (found := self._settings.value(key, self._values.get(key))) is not None:
                told[key] = {"value": "(left out)" if key in QUIET else found.text, "origin": found.origin}
        cleaned: dict[str, Any] = scrub_document(
            {
                "schema": SCHEMA,
                "versions": _versions(),
                "settings": told,
                "doctor": self._known,
                "end": self._ended,
            }
        )
        return cleaned


@contextmanager
def reporting(path: Path | None, report: Report, voice: Voice) -> Iterator[Report]:
    """Take the file first, so that a name that is taken costs nothing; write it last, also when the work raises.

    Raises:
        Trouble: (usage) the file is there already, or can't be made; nothing was done.
    """
    if path is None:
        yield report
        return
    handle = _taken(path)
    try:
        yield report
    except BaseException as error:
        report.failed(error)
        _write(handle, path, report, voice)
        raise
    _write(handle, path, report, voice)


def _taken(path: Path) -> int:
    """A new file that only its owner reads; one that is there is not replaced."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise usage(
            f"{path} can't be written",
            why=error.strerror or str(error),
            remedy="give --report another name",
            code="report-file",
        ) from None


def _write(handle: int, path: Path, report: Report, voice: Voice) -> None:
    """A disk that is full by now takes the report, never the answer on the screen."""
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(scrub(json.dumps(report.document(), ensure_ascii=False, indent=2, default=str) + "\n"))
    except OSError as error:
        voice.say(Line(f"the report could not be written: {path}: {error.strerror}", "bad"))
        return
    voice.say(Line(f"written: {path}", "good"))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"executable": Path(sys.executable).name}
