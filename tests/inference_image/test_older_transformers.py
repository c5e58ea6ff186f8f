"""The oldest transformers that the engine promises to run with: the same exactness tests over it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = ("transformers==5.17.0", "huggingface_hub==1.33.0")
"""The image for fine-tuning and some GPU machines have it; its hub client is the last of its line."""
HELD = (
    "test_slots.py",
    "test_language.py",
    "test_loading.py",
    "test_sample.py",
    "test_families.py",
    "test_images.py",
    "test_pixels.py",
    "test_seeing.py",
    "../finetune_image/test_trainer.py",
)
PINNED = "../finetune_image/test_trainer.py::test_every_field_of_trls_reaches_it"
"""Holds a table to the library that is pinned; the older one lacks two of its fields."""


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_oldest_version_answers_the_same(tmp_path: Path) -> None:
    """Loading, greedy answers, sampling and a fine-tune hold with transformers 5.17.0 as with the one that is installed."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "old"), *OLDEST]
    got = subprocess.run(pip, check=False, capture_output=True, text=True)
    if got.returncode:
        reason = f"{' '.join(OLDEST)} can't be installed: {got.stderr.strip().splitlines()[-1:]}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    root = Path(__file__).parents[2]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "old"), str(root)]), "OMP_NUM_THREADS": "1"}
    version = [sys.executable, "-c", "import transformers; print(transformers.__version__)"]
    found = subprocess.run(version, env=environ, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "5.17.0"
    here = Path(__file__).parent
    tests = [str((here / name).resolve()) for name in HELD] + ["--deselect", str((here / PINNED).resolve().relative_to(root))]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        cwd=root, env=environ, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
