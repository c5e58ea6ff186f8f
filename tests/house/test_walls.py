"""The walls between the rooms: they hold, and each one is seen to break when it is broken. Contracts live in pyproject.toml."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house import tree

RUN = "import sys; from importlinter.cli import lint_imports_command; sys.argv[0] = 'lint-imports'; lint_imports_command()"
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}

BREAKS: tuple[tuple[str, str, str], ...] = (
    # contract, module to write, what it imports
    ("floors", "gemmactl/kernel/stray.py", "import gemmactl.gcp"),
    ("floors", "gemmactl/errors_stray.py", ""),  # a module on no floor
    ("floors", "gemmactl/checkpoint/stray.py", "import gemmactl.doctor"),
    ("floors", "gemmactl/commands/stray.py", "import gemmactl.ui"),
    ("floors", "gemmactl/ui/stray.py", "import gemmactl.commands"),
    ("cloud-is-an-argument", "gemmactl/resources/stray.py", "import gemmactl.gcp"),
    ("cloud-is-an-argument", "gemmactl/resources/stray.py", "import gemmactl.sandbox"),
    ("google", "gemmactl/resources/stray.py", "def late():\n    from google.cloud import run_v2"),
    ("google", "inference_image/engine/stray.py", "import google.auth"),
    ("google", "finetune_image/stray.py", "import google.auth"),
    ("rich", "gemmactl/commands/stray.py", "from rich.console import Console"),
    ("rich", "inference_image/stray.py", "import rich"),
    ("typer", "gemmactl/doctor/stray.py", "import typer"),
    ("torch", "gemmactl/local/stray.py", "def late():\n    import torch"),
    ("torch", "gemmactl/checkpoint/stray.py", "from transformers import AutoConfig"),
    ("image-light", "inference_image/chunks/stray.py", "import inference_image.stray"),
    ("image-alone", "inference_image/stray.py", "import gemmactl.errors"),
    ("image-alone", "inference_image/stray.py", "import finetune_image.run"),
    ("finetune-alone", "finetune_image/stray.py", "import gemmactl.errors"),
    ("finetune-alone", "finetune_image/stray.py", "from inference_image import engine"),
    ("finetune-light", "finetune_image/data/stray.py", "import inference_image.stray"),
    ("finetune-inside", "gemmactl/doctor/stray.py", "import finetune_image.store"),
    ("image-inside", "gemmactl/doctor/stray.py", "import inference_image.chunks"),
    ("image-inside", "gemmactl/commands/stray.py", "from inference_image import engine"),
)


def lint(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, "--no-logo", "--no-cache", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, free to break."""
    for path in tree.python(*tree.PACKAGES):
        target = tmp_path / tree.relative(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    shutil.copy(tree.ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_walls_hold() -> None:
    """No module of the project breaks a contract."""
    outcome = lint(tree.ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_every_contract_has_a_break() -> None:
    """A contract that nobody tried to break may be one that can't fail."""
    assert {contract for contract, _, _ in BREAKS} == set(CONTRACTS)


@pytest.mark.parametrize(("contract", "path", "source"), BREAKS, ids=[f"{c}-{p}-{i}" for i, (c, p, _) in enumerate(BREAKS)])
def test_a_broken_wall_is_seen(contract: str, path: str, source: str, copy: Path) -> None:
    """One module that reaches through the wall turns the contract from kept to broken and is named."""
    (copy / "inference_image/stray.py").write_text("import torch\n")  # what image-light must find behind a second module
    assert lint(copy, "--contract", contract).returncode == 0
    (copy / path).write_text(f"{source}\n")
    outcome = lint(copy, "--contract", contract)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "BROKEN" in outcome.stdout
    assert Path(path).stem in outcome.stdout
