"""Owns CUDA source -> functions that can be started: NVRTC, which comes with torch, and the driver. Knows no kernel.

Triton wants a C compiler at run time, which the image has not; NVRTC needs neither headers nor a compiler.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import torch

Argument: TypeAlias = "ctypes.c_void_p | ctypes.c_int | ctypes.c_float"


def nvrtc() -> Any:
    """The run-time compiler that came with torch. Raises OSError: there is none."""
    import torch

    major = (torch.version.cuda or "").partition(".")[0]
    name = f"libnvrtc.so.{major}"
    beside = Path(torch.__file__).parent.parent / "nvidia"
    for place in (name, *map(str, sorted(beside.glob(f"*/lib/{name}")))):
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    raise OSError(f"{name} was not found")


def architectures(library: Any) -> tuple[str, ...]:
    """What a compiler makes code for, such as sm_89."""
    count = ctypes.c_int()
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(numbers)
    return tuple(f"sm_{number}" for number in numbers)


def compiled(library: Any, source: str, architecture: str, options: Sequence[str]) -> bytes:
    """Machine code for one architecture, such as sm_89. Raises RuntimeError with the compiler's words."""

    def check(code: int) -> None:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        _require(code, lambda code: library.nvrtcGetErrorString(code).decode())

    program = ctypes.c_void_p()
    check(library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None))
    try:
        words = [f"--gpu-architecture={architecture}".encode(), *(option.encode() for option in options)]
        if library.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words)):
            size = ctypes.c_size_t()
            check(library.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
            log = ctypes.create_string_buffer(size.value)
            check(library.nvrtcGetProgramLog(program, log))
            raise RuntimeError(log.value.decode(errors="replace"))
        size = ctypes.c_size_t()
        check(library.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        image = ctypes.create_string_buffer(size.value)
        check(library.nvrtcGetCUBIN(program, image))
        return image.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def architecture(device: torch.device) -> str:
    """What a device runs, such as sm_89."""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


class Module:
    """Machine code in one GPU's memory; its functions are started on torch's current stream."""

    def __init__(self, device: torch.device, image: bytes, names: Sequence[str]) -> None:
        """With the functions of those names. Raises OSError without the driver's library, RuntimeError for what it refuses."""
        import torch

        torch.zeros(1, device=device)  # a context, current in this thread
        self._device = device
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._module = ctypes.c_void_p()
        self._check(self._driver.cuModuleLoadData(ctypes.byref(self._module), image))
        self._functions = {name: self._function(name) for name in names}

    def start(self, name: str, grid: Sequence[int], threads: int, arguments: Sequence[Argument]) -> None:
        """Raises RuntimeError for what the driver refuses."""
        import torch

        addresses = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(one) for one in arguments))
        stream = ctypes.c_void_p(torch.cuda.current_stream(self._device).cuda_stream)
        shape = (*grid, *[1] * (3 - len(grid)))
        self._check(self._driver.cuLaunchKernel(self._functions[name], *shape, threads, 1, 1, 0, stream, addresses, None))

    def _function(self, name: str) -> ctypes.c_void_p:
        found = ctypes.c_void_p()
        self._check(self._driver.cuModuleGetFunction(ctypes.byref(found), self._module, name.encode()))
        return found

    def _check(self, code: int) -> None:
        _require(code, self._error)

    def _error(self, code: int) -> str:
        text = ctypes.c_char_p()
        self._driver.cuGetErrorString(code, ctypes.byref(text))
        return (text.value or b"unknown").decode()


def pointer(tensor: torch.Tensor | None) -> ctypes.c_void_p:
    """A tensor's memory as an argument; the caller keeps the tensor."""
    return ctypes.c_void_p(tensor.data_ptr() if tensor is not None else None)


def _require(code: int, words: Callable[[int], str]) -> None:
    if code:
        raise RuntimeError(words(code))
