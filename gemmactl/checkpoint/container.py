"""The container around the GPU: the host memory that a load needs, and the smallest legal CPU and memory. Knows no cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gemmactl import spec_rules
from gemmactl.limits import Gpu
from gemmactl.spec import Serve
from inference_image import contract

RUNTIME: Final = 3 << 30
"""Python, torch, tokenizer and what CUDA keeps on the host. An estimate: the process has 0.4 GiB with torch's CPU build and a
small tokenizer (measured 2026-11); the rest is room for CUDA's libraries and a tokenizer.json of 33 MB."""
RESERVE: Final = 0.25
GIB: Final = 1 << 30


@dataclass(frozen=True)
class Host:
    """Bytes of host memory while weights pass through it to the GPU. No file is written, which would be memory too."""

    staging: int
    """Bytes that were read and are not yet on the GPU: what GEMMACTL_STAGING_MIB allows while torch is being imported."""
    flight: int
    """Reads under way, and memory of the processes that read."""

    @property
    def need(self) -> int:
        return RUNTIME + self.staging + self.flight

    @property
    def wanted(self) -> int:
        """With the reserve."""
        return int(self.need * (1 + RESERVE))


def host(loaded: int, env: tuple[tuple[str, str], ...] = ()) -> Host:
    """For `loaded` bytes of weights as stored; `env`: the container's variables.

    Weights pass through slabs that are used again (inference_image/landing.py), cut anywhere: the largest tensor says nothing.
    """
    limit = _mib(env, contract.ENV_STAGING_MIB, contract.DEFAULT_STAGING_MIB)
    flight = number(env, contract.ENV_CONNECTIONS, contract.DEFAULT_CONNECTIONS)
    flight *= _mib(env, contract.ENV_CHUNK_MIB, contract.DEFAULT_CHUNK_MIB)
    return Host(min(loaded, limit), min(loaded, flight))


def pair(row: Gpu, serve: Serve, need: Host | None) -> tuple[int, str]:
    """CPU and memory: what the user gave, a legal partner for one of them, or the smallest legal pair that holds `need`.

    None: nothing is known of the model, so the pair that Google recommends for the GPU.
    """
    cpu = serve.cpu if "cpu" in serve.given else None
    memory = serve.memory if "memory" in serve.given else None
    if need is None:
        return spec_rules.default_pair(row, cpu, memory)
    return spec_rules.partner(row, cpu, memory, need.wanted / GIB)


def _mib(env: tuple[tuple[str, str], ...], name: str, default: int) -> int:
    return number(env, name, default) << 20


def number(env: tuple[tuple[str, str], ...], name: str, default: int) -> int:
    """A variable of the container as the engine reads it; what it would refuse counts as unset."""
    text = dict(env).get(name, "").strip()
    return int(text) if text.isdecimal() and len(text) < 12 else default
