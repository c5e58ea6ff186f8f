"""One instance of a one-file image, started without a sandbox. Imports nothing heavy: a child process uses it too."""

from __future__ import annotations

from pathlib import Path

from gemmactl.sandbox.instances import GRACE, Instance
from gemmactl.sandbox.metadata import Identity
from gemmactl.sandbox.recipes import Recipe


def start(folder: Path, program: str, lines: list[tuple[str, object, str]], grace: float = GRACE, **more: object) -> Instance:
    """One instance whose only file is `program`."""
    root = folder / "image"
    (root / "app").mkdir(parents=True, exist_ok=True)
    (root / "app" / "main.py").write_text(program)
    config = {"entrypoint": ["python", "/app/main.py"], "workdir": "/app", "env": {"PYTHONPATH": "/app/lib:/elsewhere"}}
    recipe = Recipe({}, root, {**config, **more}, (), (), {"PIDS": str(folder / "pids")}, False, "http://127.0.0.1:1")
    identity = Identity("p", "1", "us-central1", "a@b", "i", lambda: "t", lambda _audience: "j")
    instances = folder / "instances"
    instances.mkdir(exist_ok=True)
    return Instance(recipe, instances, identity, lambda *entry: lines.append(entry), grace)
