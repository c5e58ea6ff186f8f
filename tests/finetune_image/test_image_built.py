"""The fine-tune's Dockerfile as buildah builds it on a stand-in base, and the container that comes of it. Needs root."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gemmactl.stack_tune import TUNE_PACKAGES
from tests.inference_image.built import NAME, Built, building

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

LOADS = """
import json, os, trl, peft, accelerate, datasets, matplotlib.figure, bitsandbytes, finetune_image.real_hands
from pathlib import Path
here = Path(bitsandbytes.__file__).parent
open(os.path.join(os.environ["HOME"], "cache"), "w").close()
print(json.dumps({"uid": os.getuid(), "left": sorted(p.name for p in here.glob("libbitsandbytes_*"))}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Iterator[Built]:
    with building(tmp_path_factory.mktemp("image"), tool("buildah"), TUNE_PACKAGES) as made:
        yield made


def run(built: Built, *argv: str) -> subprocess.CompletedProcess[str]:
    box = built.buildah("from", f"localhost/{NAME}").strip()
    words = ["run", "--isolation=chroot", "--env=OMP_NUM_THREADS=1", *built.mounts, box, "--", *argv]
    return subprocess.run(
        built.buildah.command(*words), capture_output=True, text=True, check=False, env=built.buildah.environ, timeout=300
    )


def test_everything_is_installed_by_hash(built: Built) -> None:
    """Torch was there, as in a cached layer; all else came in as the wheels that the file names, and nothing is missing."""
    assert "Requirement already satisfied: torch==" in built.log
    assert built.missing("finetune_image") == set()


def test_the_config_of_the_image(built: Built) -> None:
    """Not root, the exec form, a home that can be written to; no secret and no address of this machine in its variables."""
    config = built.config
    assert config["User"] == "10001"
    assert config["Entrypoint"] == ["python3", "-m", "finetune_image"]
    assert {"HOME=/tmp", "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True", "HF_HUB_DISABLE_TELEMETRY=1"} <= set(config["Env"])
    assert "wheels" not in " ".join(config["Env"])


def test_all_that_trains_can_be_loaded_as_nobody(built: Built) -> None:
    """Every library of the worker is imported by user 10001, who may write at home; one CUDA's library is left, and the CPU's."""
    done = run(built, "python3", "-c", LOADS)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"uid": 10001, "left": ["libbitsandbytes_cpu.so", "libbitsandbytes_cuda126.so"]}


def test_its_entry_point_ends_with_a_line_that_doctor_knows(built: Built) -> None:
    """Started without a run it says so, as JSON, and does not load what trains."""
    done = run(built, *built.config["Entrypoint"])
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["finetune_failed"]["code"] == "run_invalid"
