"""The wheel carries all that a deploy needs: built, sources gone, installed elsewhere, and deployed to the sandbox from there."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house import tree

pytestmark = pytest.mark.timeout(300)

PROMPT, ANSWER = "The server is ready.", "서버가 준비되었습니다."


@dataclass(frozen=True)
class Installed:
    """A fresh environment that has the wheel and, behind it, the packages of the test environment."""

    wheel: Path
    bin: Path
    folder: Path
    """Where commands run: nothing of the sources is near."""

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / argv[0]), *argv[1:]],
            cwd=self.folder,
            env={
                "HOME": str(self.folder),
                "PATH": f"{self.bin}:{os.defpath}",
                "GEMMACTL_SANDBOX_HOME": str(self.folder / "sandbox"),
                "OMP_NUM_THREADS": "1",
                "CI": "true",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build from a copy, install, remove the copy. Offline: the build backend is the test environment's own."""
    folder = tmp_path_factory.mktemp("wheel")
    sources, environment, elsewhere = folder / "sources", folder / "environment", folder / "elsewhere"
    for path in tree.files():
        target = sources / tree.relative(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", str(sources), "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    checked([*pip, *build], folder)
    checked([sys.executable, "-m", "venv", "--without-pip", str(environment)], folder)
    (wheel,) = folder.glob("*.whl")
    checked([*pip, "--python", str(environment / "bin/python"), "install", "--no-deps", "--no-index", str(wheel)], folder)
    # a .pth line adds the folder alone: .pth files in it (an editable install of the sources) are not followed
    (packages,) = (environment / "lib").glob("python*/site-packages")
    (packages / "test-environment.pth").write_text("".join(f"{path}\n" for path in site.getsitepackages()))
    shutil.rmtree(sources)
    elsewhere.mkdir()
    return Installed(wheel, environment / "bin", elsewhere)


def checked(argv: list[str], folder: Path) -> None:
    outcome = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.fixture
def stopped(installed: Installed) -> Iterator[Installed]:
    """The sandbox of the environment ends with the test."""
    yield installed
    installed.run("gemmactl", "sandbox", "stop")


def test_every_file_of_the_packages_is_inside(installed: Installed) -> None:
    """The wheel has each tracked file of the packages (code, Dockerfiles, requirements, sample model) and nothing else."""
    inside = {name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info/" not in name}
    packages = {tree.relative(p) for p in tree.files() if tree.relative(p).startswith(tuple(f"{r}/" for r in tree.PACKAGES))}
    assert inside == packages


def test_build_contexts_are_whole(installed: Installed) -> None:
    """Whatever a Dockerfile copies from its context, the wheel has."""
    inside = set(zipfile.ZipFile(installed.wheel).namelist())
    contexts = [name.rpartition("/")[0] for name in inside if name.endswith("/Dockerfile")]
    assert {"inference_image", "finetune_image"} <= set(contexts)
    for context in contexts:
        assert f"{context}/requirements.txt" in inside
        assert f"{context}/__init__.py" in inside


def test_licence_and_entry_point(installed: Installed) -> None:
    """The licence travels, and the console script is there."""
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert installed.run("gemmactl", "--version").stdout.startswith("gemmactl ")


def test_the_installed_tool_does_not_see_the_sources(installed: Installed) -> None:
    """Both packages come from the environment; the checkout is on no path."""
    said = installed.run(
        "python", "-c", "import gemmactl, inference_image, sys; print(gemmactl.__file__, inference_image.__file__, sys.path)"
    )
    gemmactl, image, path = said.stdout.split(" ", 2)
    assert Path(gemmactl).is_relative_to(installed.bin.parent)
    assert Path(image).is_relative_to(installed.bin.parent)
    assert f"'{tree.ROOT}'" not in path


def test_the_fine_tunes_context_starts_from_there(installed: Installed) -> None:
    """What the wheel stages for the job is started as its ENTRYPOINT says, and ends with the worker's own word."""
    code = (
        "import pathlib, subprocess, sys\n"
        "from gemmactl.resources.context import stage\n"
        "from gemmactl.stack_tune import TUNE_PACKAGES\n"
        "stage(TUNE_PACKAGES).write_to(pathlib.Path('tree'))\n"
        "sys.exit(subprocess.run([sys.executable, '-m', 'finetune_image'], cwd='tree', check=False).returncode)\n"
    )
    done = installed.run("python", "-c", code)
    assert (done.returncode, json.loads(done.stdout)["finetune_failed"]["code"]) == (1, "run_invalid"), done.stderr


@pytest.mark.long
def test_it_deploys_to_the_sandbox_from_there(stopped: Installed) -> None:
    """Deploy, ask, plan again, destroy: with no source tree, the build context comes out of the wheel."""
    (model,) = (stopped.bin.parent / "lib").glob("python*/site-packages/gemmactl/sandbox/sample/model")
    deployed = stopped.run("gemmactl", "deploy", str(model), "--project", "@sandbox", "--yes", "--format", "json")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert json.loads(deployed.stdout)["target"] == "sandbox"
    answered = stopped.run("gemmactl", "generate", PROMPT, "--type", "translation", "--project", "@sandbox")
    assert answered.stdout == f"{ANSWER}\n", answered.stderr
    again = stopped.run("gemmactl", "plan", str(model), "--project", "@sandbox", "--detailed-exitcode")
    assert again.returncode == 0, again.stdout + again.stderr
    gone = stopped.run("gemmactl", "destroy", "--project", "@sandbox", "--yes")
    assert gone.returncode == 0, gone.stdout + gone.stderr
