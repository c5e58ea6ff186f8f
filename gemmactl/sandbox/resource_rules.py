"""CPU, memory and GPU of a container: which go together. Knows no service.

Sentences: source: Cloud Run's pages and published logs, corpus conf-004; those marked so are a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]
Finding = tuple[str, str]
GPU: Final = "nvidia.com/gpu"
L4, RTX = ACCELERATORS = ("nvidia-l4", "nvidia-rtx-pro-6000")
_MEMORY_OF_CPU: Final = {1.0: (0.5, 4), 2.0: (0.5, 8), 4.0: (2, 16), 6.0: (4, 24), 8.0: (4, 32)}
"""cpu -> GiB from, to."""
_UNITS: Final = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
GIB: Final = 1024**3


def quantity(text: str) -> float:
    """A Kubernetes quantity: `8`, `500m`, `32Gi`.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|k|M|G|Ki|Mi|Gi)?", text)
    if not found:
        raise ValueError(text)
    return float(found[1]) / 1000 if found[2] == "m" else float(found[1]) * _UNITS[found[2] or ""]


def has_gpu(template: Mapping[str, Any]) -> bool:
    """Does an instance of it get a GPU?"""
    return any(GPU in _limits(c) for c in template.get("containers", []))


def _limits(container: Mapping[str, Any]) -> Mapping[str, str]:
    limits: Mapping[str, str] = container.get("resources", {}).get("limits", {})
    return limits


def resources(template: Json) -> Iterator[Finding]:
    accelerator = template.get("nodeSelector", {}).get("accelerator", "")
    for number, container in enumerate(template.get("containers", [])):
        at = f"template.containers[{number}].resources"
        limits = _limits(container)
        try:
            cpu, memory = quantity(limits.get("cpu", "1")), quantity(limits.get("memory", "512Mi")) / GIB
        except ValueError as wrong:
            yield f"{at}.limits", f"Invalid value {wrong} specified for a resource limit."
            continue
        if GPU in limits:
            yield from _gpu(at, limits[GPU], accelerator, cpu, memory)
            if container.get("resources", {}).get("cpuIdle"):
                yield f"{at}.cpu_idle", "CPU must be always allocated in order to set GPU requirements."  # guess
        elif accelerator:
            yield "template.node_selector", "GPU must be set to 1 on one container in order to set an accelerator."  # guess
        if accelerator != RTX:
            yield from _pair(f"{at}.limits.memory", cpu, memory)
    if has_gpu(template):
        if template.get("executionEnvironment") == "EXECUTION_ENVIRONMENT_GEN1":
            yield "template.execution_environment", "Execution environment must be set to gen2 in order to set GPU requirements."
    elif "gpuZonalRedundancyDisabled" in template:
        yield "template.gpu_zonal_redundancy_disabled", "GPU zonal redundancy can only be set when a GPU is."  # guess


def _gpu(at: str, count: str, accelerator: str, cpu: float, memory: float) -> Iterator[Finding]:
    if count != "1":
        yield f"{at}.limits", "GPU can only be set to 1 on one container."
    if not accelerator:
        yield "template.node_selector", "An accelerator must be set in order to set GPU requirements."  # guess
    elif accelerator == L4:
        if cpu < 4 or memory < 16:
            yield f"{at}.limits", "CPU must be at least 4; memory must be at least 16Gi in order to set GPU requirements."
    elif accelerator == RTX:
        if cpu not in (20, 22, 24, 26, 28, 30):
            yield f"{at}.limits.cpu", "Must be equal to one of 20.0, 22.0, 24.0, 26.0, 28.0, 30.0"
        elif not 80 <= memory <= 4 * cpu:
            yield f"{at}.limits.memory", f"memory must be between 80Gi and {int(4 * cpu)}Gi inclusive."


def _pair(field: str, cpu: float, memory: float) -> Iterator[Finding]:
    low, high = _MEMORY_OF_CPU.get(cpu, (0.125, 2) if cpu < 1 else (0, 0))
    if not high:
        yield field.replace("memory", "cpu"), "Invalid value specified for cpu. Must be equal to one of 1.0, 2.0, 4.0, 6.0, 8.0"
    elif not low <= memory <= high:
        said = "512Mi" if low == 0.5 else "128Mi" if low < 0.5 else f"{int(low)}Gi"
        legal = f"For {cpu} CPU, memory must be between {said} and {int(high)}Gi inclusive."
        yield field, f"Invalid value specified for memory with gen2 execution environment. {legal}"
