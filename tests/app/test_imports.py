"""Which modules each command imports: start-up time is won by what is not imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"rich", "google", "requests", "yaml", "torch", "transformers", "pydantic", "grpc", "numpy", "fastapi", "asyncio", "http"}

CASES = [
    (("--version",), set()),
    (("plan", "gs://b/m", "--cpu", "4", "--project", "my-project"), set()),
    (("deploy", "gs://b/m", "--region", "nowhere", "--project", "my-project"), set()),
    (("status",), set()),
    (("generate", "x", "--local", "nowhere"), set()),
    (("doctor", "--from-log", "-"), set()),
    (("finetune", "run", "x.jsonl", "--set", "lora.rank=1", "--project", "my-project"), set()),
    (("finetune", "run", "x.jsonl", "--local", "--model", "nowhere"), set()),
    (("--help",), {"rich"}),
]


@pytest.mark.parametrize(("argv", "allowed"), CASES, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_heavy_modules_are_imported_where_they_are_needed(tmp_path: Path, argv: tuple[str, ...], allowed: set[str]) -> None:
    """A usage error, a version or a local answer never pays for rich, Google's clients or torch; only help pays for rich."""
    code = (
        "import sys, json\n"
        "from gemmactl.app import main\n"
        f"main({list(argv)!r})\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})), file=open('modules.json', 'w'))"
    )
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    import json

    found = HEAVY & set(json.loads((tmp_path / "modules.json").read_text()))
    assert found <= allowed


def test_only_the_asked_verb_is_imported(tmp_path: Path) -> None:
    """`gemmactl status` knows nothing of deploy's options."""
    code = (
        "import sys\nfrom gemmactl.app import main\nmain(['status'])\n"
        "verbs = sorted(m for m in sys.modules if m.startswith('gemmactl.commands.'))\n"
        "assert verbs == [f'gemmactl.commands.{n}' for n in ('impersonating', 'options', 'session', 'status')], verbs"
    )
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
