"""step.cu's kernels as a Launcher whose GPU is this CPU. Knows no model."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any


def players(source: str, *, int8: bool) -> str:
    """A function for each kernel that plays a grid of it, called with its arguments by address, as the driver is."""
    made = ["static void** passed;\n"]
    text = re.sub(r"//.*", "", source)
    heads = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(start|join|gate|turn|attend)\(([^)]*)\)', text)
    linear = re.search(r"__launch_bounds__\(WARPS \* 32\) NAME##_##GROUPS\(([^)]*)\)", text)
    assert linear is not None
    taken = " ".join(linear[1].replace("\\", "").split())
    heads += [(f"{kind}_{groups}", taken) for kind in ("plain", "gated", "parts") for groups in ((1, 2, 4) if int8 else (1,))]
    for name, arguments in heads:
        kinds = [re.sub(r"\w+$", "", one.strip()).strip() for one in arguments.split(",")]
        passed = ", ".join(f"*({kind}*)passed[{at}]" for at, kind in enumerate(kinds))
        made.append(
            f"static void one_{name}() {{ {name}({passed}); }}\n"
            f'extern "C" void play_{name}(unsigned x, unsigned y, unsigned z, unsigned count, void** all)'
            f" {{ passed = all; play(x, y, z, count, one_{name}); }}\n"
        )
    return "".join(made)


class Played:
    """A Launcher whose GPU is this CPU."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.started: list[str] = []

    def start(self, name: str, grid: Sequence[int], threads: int, arguments: Sequence[Any]) -> None:
        self.started.append(name)
        addresses = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(one) for one in arguments))
        getattr(self._library, f"play_{name}")(*grid, *[1] * (3 - len(grid)), threads, addresses)
