"""Owns step.cu as this process's GPU runs it: compiled when the image was built, else once at the start. Knows no model.

python -m inference_image.engine.kernels sm_89     # what the image's build calls: no GPU is needed for it
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from inference_image.engine import cuda
from inference_image.engine.cuda import Argument

if TYPE_CHECKING:
    import torch

WARPS: Final = 8
"""Of a block of a linear kernel."""
TILES: Final = {1: 2, 2: 2, 4: 4}
"""For each number of eights of rows: tiles of eight outputs that a warp takes at once."""
LOADS: Final = {False: {1: 2, 2: 2, 4: 1}, True: {1: 1, 2: 1, 4: 1}}
"""And loads of 16 bytes that a lane has under way for each of them, for bfloat16 and for int8. All three by measurement on an
H100 (docs/bench/gpu.md)."""
MOST: Final = {False: 8, True: 32}
"""Rows up to which our own linear kernels compute a product, for bfloat16 and for int8 weights: beyond 8 rows torch's own
products of bfloat16 are quicker there."""
USUAL: Final = (1, 2, 4)
"""Query heads for each key head in Gemma 3's sizes, and 1 for int8 products alone."""
BUILT: Final = Path(__file__).parent / "compiled"


class Launcher(Protocol):
    """Starts functions of step.cu."""

    def start(self, name: str, grid: Sequence[int], threads: int, arguments: Sequence[Argument]) -> None:
        """As cuda.Module."""


@lru_cache(maxsize=1)
def source() -> str:
    return files("inference_image.engine").joinpath("step.cu").read_text(encoding="utf-8")


def options(share: int, *, int8: bool) -> tuple[str, ...]:
    """What the source is compiled with. `share`: query heads for each key head."""
    loads = {f"LOADS_{groups}": count for groups, count in LOADS[int8].items()}
    given = {"WARPS": WARPS, "SHARE": share, "INT8": int(int8), "TILES_4": TILES[4], **loads}
    return tuple(f"-D{name}={value}" for name, value in given.items())


def functions(*, int8: bool) -> tuple[str, ...]:
    """What the source makes with these options."""
    groups = [one for one in TILES if one * 8 <= MOST[int8]]
    linear = (f"{kind}_{one}" for kind in ("plain", "gated", "parts") for one in groups)
    return ("start", "join", "gate", "turn", "attend", *linear)


@lru_cache(maxsize=8)
def module(device: torch.device, share: int, *, int8: bool) -> cuda.Module | str:
    """The kernels on a device, once; where that can't be done, why."""
    try:
        return cuda.Module(device, code(cuda.architecture(device), share, int8=int8), functions(int8=int8))
    except (OSError, RuntimeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def code(architecture: str, share: int, *, int8: bool, built: Path = BUILT) -> bytes:
    """Machine code. Raises OSError without NVRTC, RuntimeError for what it refuses."""
    ready = built / name_of(architecture, share, int8=int8)
    if ready.exists():
        return ready.read_bytes()
    return cuda.compiled(cuda.nvrtc(), source(), architecture, options(share, int8=int8))


def name_of(architecture: str, share: int, *, int8: bool) -> str:
    """The file of such machine code: another source, or other options, is another file."""
    told = "\n".join([source(), architecture, *options(share, int8=int8)])
    return f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.cubin"


def main(architectures: Sequence[str], built: Path = BUILT) -> str:
    """Compile all that a serving GPU may want; says what became of it. Without NVRTC nothing is lost but time at each start."""
    try:
        library = cuda.nvrtc()
    except OSError as error:
        return f"kernels are compiled at each start: {error}"
    built.mkdir(exist_ok=True)
    known = cuda.architectures(library)
    for architecture in (one for one in architectures if one in known):
        for share in USUAL:
            for int8 in (False, True):
                made = cuda.compiled(library, source(), architecture, options(share, int8=int8))
                (built / name_of(architecture, share, int8=int8)).write_bytes(made)
    return f"kernels are compiled for {', '.join(one for one in architectures if one in known) or 'nothing'}"


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
