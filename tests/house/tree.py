"""The repository as the house tests see it: its own files and what each module imports. Knows no rule."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gemmactl", "inference_image", "finetune_image")
NOT_OURS = {
    ".git",
    ".venv",
    ".venv-lock",
    "__pycache__",
    "build",
    "dist",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}


@cache
def files() -> tuple[Path, ...]:
    """Files of the repository: git's list (with new files that are not ignored), or all but caches where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(sorted(p for p in ROOT.rglob("*") if p.is_file() and not NOT_OURS & set(p.relative_to(ROOT).parts)))
    return tuple(sorted(p for name in set(listed.split("\0")) if name and (p := ROOT / name).is_file()))


def python(*rooms: str) -> tuple[Path, ...]:
    """Python files, of all rooms or of those named (`tests`, `gemmactl/gcp`)."""
    return tuple(p for p in files() if p.suffix == ".py" and (not rooms or relative(p).startswith(tuple(f"{r}/" for r in rooms))))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str | None:
    """Content of a text file; None for a binary one."""
    data = path.read_bytes()
    return None if b"\0" in data[:4096] else data.decode()


def module(path: Path, root: Path = ROOT) -> str:
    """`gemmactl/gcp/run.py` -> `gemmactl.gcp.run`; a package's __init__ -> the package."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class Import:
    """One imported name, anywhere in the module: inside functions and under TYPE_CHECKING too."""

    importer: str
    target: str
    """Dotted, absolute: `from google.cloud import run_v2` -> `google.cloud.run_v2`."""
    line: int
    at_start: bool
    """Runs when the module is imported: not inside a function, not under TYPE_CHECKING."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def imports(source: str, importer: str, *, package: bool = False) -> Iterator[Import]:
    """Every import of a module's source."""
    yield from _walk(ast.parse(source).body, importer, package, at_start=True)


def _walk(nodes: list[ast.stmt] | list[ast.AST], importer: str, package: bool, *, at_start: bool) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(importer, name.name, node.lineno, at_start)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, importer, package)
            for name in node.names:
                yield Import(importer, f"{origin}.{name.name}", node.lineno, at_start)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            )
            yield from _walk(list(ast.iter_child_nodes(node)), importer, package, at_start=at_start and not inside)


def _origin(node: ast.ImportFrom, importer: str, package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = importer.split(".")
    up = node.level - (1 if package else 0)
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


@cache
def imports_of(*rooms: str) -> tuple[Import, ...]:
    """Every import in the rooms, read once."""
    return tuple(
        found for path in python(*rooms) for found in imports(path.read_text(), module(path), package=path.name == "__init__.py")
    )


def within(name: str, *rooms: str) -> bool:
    """Whether a dotted name is one of the rooms or inside one."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)
