"""Fields of a service as text for a plan: only what the wish speaks of. Knows no cloud."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from gemmactl.kernel.plan import agrees
from gemmactl.resources.service_types import Container, EnvVar, Probe, Resources, SecretEnv, Traffic


def text(name: str, value: Any, wish: Any) -> str:
    """One side of a difference."""
    if name == "ready":
        return "ready" if value else "the last rollout is not ready"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "containers":
        wishes = wish if isinstance(wish, tuple) else ()
        return "; ".join(_container(c, wishes[i] if i < len(wishes) else None) for i, c in enumerate(value))
    if name == "labels":
        return ", ".join(f"{k}={v}" for k, v in value)
    if isinstance(value, tuple):
        return ", ".join(_part(v) for v in value)
    return _part(value)


def containers(live: object, wanted: object) -> tuple[str, str] | None:
    """Both sides with only the parts that differ; None when they are not the same number of containers."""
    if not (isinstance(live, tuple) and isinstance(wanted, tuple) and len(live) == len(wanted)):
        return None
    pairs = [_differing(here, wish) for here, wish in zip(live, wanted, strict=True) if not agrees(wish, here)]
    return "; ".join(here for here, _ in pairs), "; ".join(wish for _, wish in pairs)


def _differing(live: Container, wish: Container) -> tuple[str, str]:
    names = [f.name for f in fields(Container) if not agrees(getattr(wish, f.name), getattr(live, f.name))]
    sides: tuple[list[str], list[str]] = ([], [])
    for name in names:
        here, there = getattr(live, name), getattr(wish, name)
        if isinstance(here, tuple) and isinstance(there, tuple):
            here, there = tuple(v for v in here if v not in there), tuple(v for v in there if v not in here)
        for side, value in zip(sides, (here, there), strict=True):
            side.append(f"{name}={'none' if value in (None, ()) else _part(value)}")
    return " ".join(sides[0]), " ".join(sides[1])


def _container(c: Container, wish: Container | None) -> str:
    names = [f.name for f in fields(Container) if wish is None or getattr(wish, f.name) is not None]
    shown = [(n, getattr(c, n)) for n in names]
    return " ".join(f"{n}={_part(v)}" for n, v in shown if v not in (None, ()))


def _part(value: Any) -> str:
    match value:
        case EnvVar():
            return f"{value.name}={value.value}"
        case SecretEnv():
            return f"{value.name}={value.secret}:{value.version}"
        case Resources():
            flags = (("cpu throttled", value.cpu_idle), ("start-up boost", value.startup_cpu_boost))
            words = [f"{value.cpu} CPU", str(value.memory), f"{value.gpu or 0} GPU", *(w for w, on in flags if on)]
            return f"({', '.join(words)})"
        case Probe():
            where = f"{value.kind} {value.path or ''} port {value.port}".replace("  ", " ")
            return f"({where}, delay {value.initial_delay}, {value.failures} x {value.period} s, timeout {value.timeout} s)"
        case Traffic():
            return f"{value.percent}% {value.revision or 'newest'}{f' tag {value.tag}' if value.tag else ''}"
        case tuple():
            return f"[{', '.join(_part(v) for v in value)}]"
        case _ if is_dataclass(value) and not isinstance(value, type):
            parts = [(f.name, getattr(value, f.name)) for f in fields(value)]
            return " ".join(f"{name}={_part(part)}" for name, part in parts if part is not None)
        case _:
            return str(value)
