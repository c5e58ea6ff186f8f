"""Both Dockerfiles and their pins: what the packages import is installed, and they run from what is copied alone."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

import inference_image
from gemmactl.limits import GPUS, L4, Gpu
from gemmactl.sandbox import dockerfile
from gemmactl.stack import SERVE_PACKAGES
from gemmactl.stack_tune import TUNE_PACKAGES

ROOT = Path(__file__).parents[2]
# Where a distribution is not called like its module.
DISTRIBUTIONS = {
    "google": "google-auth", "PIL": "pillow", "prometheus_client": "prometheus-client",
    "pydantic_core": "pydantic-core", "yaml": "pyyaml",
}  # fmt: skip


@dataclass(frozen=True)
class Image:
    """`packages`: what its build context holds, its own first; `entry`: what it runs; `starts`: the module of it."""

    packages: tuple[str, ...]
    entry: str
    starts: str

    @property
    def folder(self) -> Path:
        return ROOT / self.packages[0]

    @property
    def dockerfile(self) -> str:
        return (self.folder / "Dockerfile").read_text()

    @property
    def requirements(self) -> dict[str, tuple[str, list[str]]]:
        """{name: (version, hashes)}; every row is pinned exactly."""
        text = (self.folder / "requirements.txt").read_text().replace("\\\n", " ")
        rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        assert all("==" in row[0] for row in rows)
        return {row[0].partition("==")[0]: (row[0].partition("==")[2], row[1:]) for row in rows}

    @property
    def pins(self) -> dict[str, str]:
        return {name: version for name, (version, _) in self.requirements.items()}

    def modules(self) -> Iterator[Path]:
        """Files of its own package, and those of the others that one of these imports, however deep."""
        waiting, seen = sorted(self.folder.rglob("*.py")), set[Path]()
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            yield path
            waiting += [found for name in imported(path) for found in files_of(name) if name.partition(".")[0] in self.packages]

    def third_party(self) -> set[str]:
        """Distributions that these modules import."""
        names = {name for path in self.modules() for name in imported(path)}
        outside = {name for name in names if name.partition(".")[0] not in {*sys.stdlib_module_names, *self.packages}}
        return {DISTRIBUTIONS.get(".".join(n.split(".")[:2]), DISTRIBUTIONS.get(r := n.partition(".")[0], r)) for n in outside}


@cache
def imported(path: Path) -> set[str]:
    """Dotted names that a file imports at any place of it, `from x import y` as x and as x.y."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def files_of(name: str) -> list[Path]:
    """The file of a module, or of a package and those above it."""
    place = ROOT / name.replace(".", "/")
    return [one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()]


SERVE = Image(SERVE_PACKAGES, "inference_image.server", "inference_image.server.__main__")
TUNE = Image(TUNE_PACKAGES, "finetune_image", "finetune_image.__main__")


@pytest.fixture(params=[SERVE, TUNE], ids=["serve", "finetune"])
def image(request: pytest.FixtureRequest) -> Image:
    found: Image = request.param
    return found


def test_every_import_is_installed(image: Image) -> None:
    """Each third-party module that the image's code imports is pinned in requirements.txt, or is torch in its own layer."""
    found = image.third_party()
    assert found - {"torch"} <= image.pins.keys()
    assert re.search(r'"torch==\d+\.\d+\.\d+"', image.dockerfile)
    assert "torch" not in image.pins


def test_what_is_read_of_the_code_is_what_it_imports() -> None:
    """Imports inside functions and of packages beside its own count too."""
    assert {"torch", "fastapi", "google-auth", "transformers"} <= SERVE.third_party()
    assert "crc32c" in TUNE.third_party()


def test_everything_but_torch_is_hashed(image: Image) -> None:
    """Each row has the SHA-256 of a wheel, and pip is told to take nothing else."""
    for name, (_, hashes) in image.requirements.items():
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name
    assert "pip install --require-hashes --only-binary=:all: -r" in image.dockerfile
    assert image.dockerfile.count("pip install") == 2, "torch's layer and this one"


@pytest.mark.parametrize("package", ["torch", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "matplotlib"])
def test_what_the_large_ones_need_is_hashed_too(package: str) -> None:
    """Of torch, whose layer brings its needs unhashed, the next one puts pinned wheels over them; of others all is there."""
    needed = {
        re.split(r"[^\w-]", row)[0].lower().replace("_", "-") for row in metadata.requires(package) or () if "extra ==" not in row
    }
    plain = {name for name in needed if not name.startswith(("nvidia-", "cuda-", "triton", "torch"))}
    for one in (SERVE, TUNE) if package == "torch" else (TUNE,):
        assert plain <= one.pins.keys()


def test_the_dockerfile_is_lint_free(image: Image, tool: Callable[[str], Path]) -> None:
    """The linter finds nothing: it comes with the test tools where it has a wheel."""
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = beside if beside.exists() else tool("hadolint")
    done = subprocess.run([hadolint, image.folder / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_pins_are_what_is_tested(image: Image) -> None:
    """The versions of the image are those that the tests run with, as far as they are installed here."""
    serve = ("transformers", "tokenizers", "fastapi", "uvicorn", "crc32c")
    tune = (
        "transformers",
        "tokenizers",
        "trl",
        "peft",
        "bitsandbytes",
        "accelerate",
        "datasets",
        "crc32c",
    )
    for name in serve if image is SERVE else tune:
        assert image.pins[name] == metadata.version(name)
    assert re.search(r"torch==([\d.]+)", image.dockerfile)[1] == metadata.version("torch").partition("+")[0]  # type: ignore[index]


def test_what_both_images_have_is_one_version() -> None:
    """A model is merged by the libraries that serve it."""
    assert {name for name, version in TUNE.pins.items() if SERVE.pins.get(name, version) != version} == set()


def test_copies_name_all_that_runs(image: Image, tmp_path: Path) -> None:
    """A folder with only what COPY names is enough to import what the ENTRYPOINT runs."""
    app = tmp_path / "app"
    app.mkdir()
    copies = re.findall(r"^COPY (\S+) (\S+)$", image.dockerfile, re.MULTILINE)
    assert copies
    for source, target in copies:
        assert target.startswith("/app/")
        place = tmp_path / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, place)
    done = subprocess.run(
        [sys.executable, "-c", f"import {image.starts} as m; print(m.__file__)"],
        cwd=app, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(app / f"{image.starts.replace('.', '/')}.py")


def test_the_container_is_no_root_and_gets_its_signals(image: Image) -> None:
    """A user of its own, the exec form, a base that can be replaced, torch of CUDA 12.6 before the rest."""
    text = image.dockerfile
    assert re.search(r"^USER (?!root|0\b)\S+$", text, re.MULTILINE)
    assert f'ENTRYPOINT ["python3", "-m", "{image.entry}"]' in text
    assert re.search(r"^ARG BASE=\S+\nFROM \$\{BASE\}$", text, re.MULTILINE)
    assert f"ARG CUDA={L4.cuda}\nARG TORCH_INDEX=https://download.pytorch.org/whl/${{CUDA}}\n" in text
    assert L4.cuda == "cu126"
    assert text.index("torch==") < text.index("COPY")


def test_the_large_layer_is_shared() -> None:
    """Up to torch both files say the same, so a registry and a cache hold that layer once."""
    ends = [text[: text.index("\n", text.index('"torch=='))] for text in (SERVE.dockerfile, TUNE.dockerfile)]
    bare = ["\n".join(line for line in text.splitlines() if line and not line.startswith("#")) for text in ends]
    assert bare[0] == bare[1]


def test_the_sandbox_reads_the_fine_tunes_dockerfile() -> None:
    """Its own ENTRYPOINT, user and variables come out, over torch's layer, with nothing that it can't build."""
    (only,) = dockerfile.parse(TUNE.dockerfile)
    assert (only.entrypoint, only.user) == (("python3", "-m", "finetune_image"), "10001")
    assert [one.target for one in only.copies if "." not in one.target] == ["/app/inference_image", "/app/finetune_image"]
    assert only.env["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    assert only.env["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert only.env["HOME"] == "/tmp"


@pytest.mark.parametrize("gpu", GPUS.values(), ids=lambda gpu: gpu.name)
def test_only_the_library_of_torchs_cuda_stays(gpu: Gpu) -> None:
    """Of bitsandbytes' backends that of the GPU's CUDA and the CPU's are there, and the Dockerfile's words delete all others."""
    names = [path.name for path in (Path(sys.prefix) / "lib").rglob("libbitsandbytes_*.so")]
    kept = {name for name in names if name.endswith((f"_cuda{gpu.cuda.removeprefix('cu')}.so", "_cpu.so"))}
    assert len(kept) == 2 < len(names)
    deletes = "-name 'libbitsandbytes_*.so' ! -name \"*_cuda${CUDA#cu}.so\" ! -name '*_cpu.so' -delete"
    assert deletes in " ".join(TUNE.dockerfile.replace("\\\n", " ").split())


def test_one_version() -> None:
    """The packages in the images and the tool have one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert inference_image.__version__ == project["version"]
