"""The Dockerfile and its pins: what the package imports is installed, and it runs from what is copied alone."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import inference_image

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "inference_image"
DOCKERFILE = (PACKAGE / "Dockerfile").read_text()
# Where a distribution is not called like its module.
DISTRIBUTIONS = {
    "google": "google-auth", "PIL": "pillow", "prometheus_client": "prometheus-client", "pydantic_core": "pydantic-core",
    "yaml": "pyyaml",
}  # fmt: skip


def third_party() -> set[str]:
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"inference_image"}


def requirements() -> dict[str, tuple[str, list[str]]]:
    """{name: (version, hashes)}; every row is pinned exactly."""
    text = (PACKAGE / "requirements.txt").read_text().replace("\\\n", " ")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert all("==" in row[0] for row in rows)
    return {row[0].partition("==")[0]: (row[0].partition("==")[2], row[1:]) for row in rows}


def pins() -> dict[str, str]:
    return {name: version for name, (version, _) in requirements().items()}


def test_every_import_is_installed() -> None:
    """Each third-party module that the package imports is pinned in requirements.txt, or is torch in its own layer."""
    imported = {DISTRIBUTIONS.get(name, name) for name in third_party()}
    assert "torch" in imported
    assert imported - {"torch"} <= pins().keys()
    assert re.search(r'"torch==\d+\.\d+\.\d+"', DOCKERFILE)
    assert "torch" not in pins()


def test_everything_but_torch_is_hashed() -> None:
    """Each row has the SHA-256 of a wheel, and pip is told to take nothing else."""
    for name, (_, hashes) in requirements().items():
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name
    assert "pip install --require-hashes --only-binary=:all: -r" in DOCKERFILE
    assert DOCKERFILE.count("pip install") == 2, "torch's layer and this one"


def test_what_torch_needs_is_hashed_too() -> None:
    """Its own layer brings it unhashed; the next one puts the pinned wheels over it."""
    from importlib import metadata

    needed = {re.split(r"[^\w-]", row)[0] for row in metadata.requires("torch") or () if "extra ==" not in row}
    assert {name for name in needed if not name.startswith(("nvidia-", "cuda-", "triton"))} <= pins().keys()


def test_the_dockerfile_is_lint_free(tool: Callable[[str], Path]) -> None:
    """The linter finds nothing: it comes with the test tools where it has a wheel."""
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = beside if beside.exists() else tool("hadolint")
    done = subprocess.run([hadolint, PACKAGE / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_pins_are_what_is_tested() -> None:
    """The versions of the image are those that the tests run with, as far as they are installed here."""
    from importlib import metadata

    for name in ("transformers", "tokenizers", "fastapi", "uvicorn", "crc32c"):
        assert pins()[name] == metadata.version(name)


def test_copies_name_all_that_runs(tmp_path: Path) -> None:
    """A folder with only what COPY names is enough to import the server, as the ENTRYPOINT does."""
    app = tmp_path / "app"
    app.mkdir()
    copies = re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert copies
    for source, target in copies:
        assert target.startswith("/app/")
        place = tmp_path / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, place)
    done = subprocess.run(
        [sys.executable, "-c", "import inference_image.server.__main__ as m; print(m.__file__)"],
        cwd=app, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(app / "inference_image" / "server" / "__main__.py")


def test_the_container_is_no_root_and_gets_its_signals() -> None:
    """A user of its own, the exec form, a base that can be replaced, torch before the rest."""
    assert re.search(r"^USER (?!root|0\b)\S+$", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["python3", "-m", "inference_image.server"]' in DOCKERFILE
    assert re.search(r"^ARG BASE=\S+\nFROM \$\{BASE\}$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.index("torch==") < DOCKERFILE.index("COPY")


def test_one_version() -> None:
    """The package in the image and the tool have one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert inference_image.__version__ == project["version"]
