"""Which modules each command line imports: what a start costs, as a fact that no noise can hide. bench/start.py has the times."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house import tree

ALWAYS_LATE = frozenset({"torch", "transformers", "numpy", "pydantic", "fastapi", "uvicorn", "tokenizers"})
CLOUD = frozenset({"google.auth", "google.api_core", "google.cloud", "google.protobuf", "grpc", "requests", "urllib3"})
SCREEN = frozenset({"rich"})

PROBE = """
import json, sys
sys.argv = ["gemmactl", *sys.argv[2:]] if (report := sys.argv[1]) else []
code = 0
try:
    from gemmactl.app import main
    code = main()
except SystemExit as leaving:
    code = leaving.code or 0
with open(report, "w") as file:
    json.dump({"code": code, "modules": sorted(sys.modules)}, file)
"""


@dataclass(frozen=True)
class Case:
    """A command line, the exit code it ends with, and the packages it must not have imported."""

    argv: tuple[str, ...]
    code: int
    forbidden: frozenset[str]


CASES = (
    Case(("--help",), 0, ALWAYS_LATE | CLOUD),  # groups in --help are drawn with rich
    Case(("--version",), 0, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("doctor", "--from-log", "error.log"), 6, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("doctor", "--from-log", "error.log", "--format", "json"), 6, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("plan", "gs://bucket/model"), 2, ALWAYS_LATE | CLOUD | SCREEN),  # no project is known: nothing to connect to
    Case(("inspect", "nowhere"), 6, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("inspect", str(tree.ROOT / "gemmactl/sandbox/sample/model")), 0, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("regions", "gs://bucket/model"), 2, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("deploy", "gs://bucket/model", "--project", "some-project", "--cpu", "3"), 2, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("generate", "test", "--project", "@sandbox", "--no-such-flag"), 2, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("copy", "gs://bucket/model", "gs://bucket/model"), 2, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("copy", "nowhere", "out"), 4, ALWAYS_LATE | CLOUD | SCREEN),  # no side is in a bucket: nothing to connect to
    Case(("keys", "create", "gemma", "--expires", "soon"), 2, ALWAYS_LATE | CLOUD | SCREEN),
    Case(("finetune", "check", "nowhere"), 4, ALWAYS_LATE | CLOUD | SCREEN),
    Case(
        ("finetune", "check", "rows.jsonl", "--model", str(tree.ROOT / "gemmactl/sandbox/sample/model")),
        0,
        ALWAYS_LATE - {"tokenizers"} | CLOUD | SCREEN,
    ),
    Case(("sandbox", "status"), 0, ALWAYS_LATE | SCREEN),
)


def imported(argv: tuple[str, ...], folder: Path) -> tuple[int, set[str], str]:
    """Exit code, every module of the process, and what it said."""
    (folder / "error.log").write_text(
        'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource '
        '"projects/some-project/locations/us-central1/repositories/some-repo" (or it may not exist)\n'
    )
    (folder / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    report = folder / "report.json"
    said = subprocess.run(
        [sys.executable, "-c", PROBE, str(report), *argv],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "", "PYTHONPATH": str(tree.ROOT), "GEMMACTL_SANDBOX_HOME": str(folder / "sandbox")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), said.stderr
    seen = json.loads(report.read_text())
    return seen["code"], set(seen["modules"]), said.stdout + said.stderr


def heavy(modules: set[str], forbidden: frozenset[str]) -> list[str]:
    """The forbidden packages that were imported."""
    return sorted(name for name in forbidden if any(m == name or m.startswith(f"{name}.") for m in modules))


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.argv))
def test_a_command_imports_only_what_it_needs(case: Case, tmp_path: Path) -> None:
    """The command ends with its code, and none of the packages that it has no use for was imported."""
    code, modules, said = imported(case.argv, tmp_path)
    assert code == case.code, said
    assert heavy(modules, case.forbidden) == []


def test_one_verb_does_not_import_the_others(tmp_path: Path) -> None:
    """A verb's module is imported when the verb is asked for."""
    _, modules, said = imported(("doctor", "--from-log", "error.log"), tmp_path)
    shared = {"options", "session", "impersonating"}
    verbs = {m.rpartition(".")[2] for m in modules if m.startswith("gemmactl.commands.")} - shared
    assert verbs == {"doctor"}, said


def test_heavy_packages_are_seen() -> None:
    """The check finds a package and its submodules, and no namesake."""
    assert heavy({"google.cloud.run_v2", "richer", "torch"}, frozenset({"google.cloud", "rich", "torch"})) == [
        "google.cloud",
        "torch",
    ]
