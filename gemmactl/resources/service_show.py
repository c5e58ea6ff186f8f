"""Fields of a service as text for a plan, part by part: only what the wish speaks of. Knows no cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from gemmactl.kernel.plan import agrees
from gemmactl.kernel.reference import Digest
from gemmactl.resources.service_types import Container, EnvVar, Probe, Resources, SecretEnv, Traffic
from inference_image import contract
from inference_image.pin import digest_of


def text(name: str, value: Any, wish: Any) -> str:
    """One side of a difference."""
    if name == "ready":
        return "ready" if value else "the last rollout is not ready"
    if name == "tested":
        return "tested, with its requests" if value else "the newest revision waits for its smoke test"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "containers":
        wishes = wish if isinstance(wish, tuple) else ()
        return "; ".join(_container(c, wishes[i] if i < len(wishes) else None) for i, c in enumerate(value))
    if name in ("labels", "template_labels"):
        return ", ".join(f"{k}={v}" for k, v in value)
    if isinstance(value, tuple):
        return ", ".join(_part(v) for v in value)
    return _part(value)


def parts(at: int, live: Container, wanted: Container) -> Iterator[tuple[str, str, str]]:
    """(label, live, wanted) for each part of a container that is not as wished; variables one by one."""
    where = f"container {at + 1} " if at else ""
    for field in fields(Container):
        was, will = getattr(live, field.name), getattr(wanted, field.name)
        if agrees(will, was):
            continue
        match field.name:
            case "env":
                olds, news = ({v.name: v for v in side or ()} for side in (was, will))
                for name in dict.fromkeys((*olds, *news)):
                    if olds.get(name) != news.get(name):
                        yield f"{where}{name}", _value(olds.get(name)), _value(news.get(name))
            case "resources" if was and will:
                for part in fields(Resources):
                    sides = getattr(was, part.name), getattr(will, part.name)
                    if not agrees(sides[1], sides[0]):
                        yield f"{where}{part.name}", _part(sides[0]), _part(sides[1])
            case name:
                yield f"{where}{name.replace('_', ' ')}", _part(was), _part(will)


def _value(variable: EnvVar | SecretEnv | None) -> str:
    match variable:
        case None:
            return "none"
        case EnvVar(name=contract.ENV_PIN, value=text):
            return _pin(text)
        case EnvVar():
            return variable.value or "empty"
        case _:
            return f"secret {variable.secret}:{variable.version}"


def _pin(text: str) -> str:
    """By the beginning of its digest: which files that means is told beside it."""
    try:
        return digest_of(text)[:12]
    except ValueError:
        return text


def _container(c: Container, wish: Container | None) -> str:
    names = [f.name for f in fields(Container) if wish is None or getattr(wish, f.name) is not None]
    shown = [(n, getattr(c, n)) for n in names]
    return " ".join(f"{n}={_part(v)}" for n, v in shown if v not in (None, ()))


def _part(value: Any) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return "yes" if value else "no"
        case Digest():
            return str(value)
        case EnvVar():
            return f"{value.name}={value.value}"
        case SecretEnv():
            return f"{value.name}={value.secret}:{value.version}"
        case Resources():
            flags = (("cpu throttled", value.cpu_idle), ("start-up boost", value.startup_cpu_boost))
            words = [f"{value.cpu} CPU", str(value.memory), f"{value.gpu or 0} GPU", *(w for w, on in flags if on)]
            return f"({', '.join(words)})"
        case Probe():
            asked = "".join(f" {name}: {text}" for name, text in value.headers or ())
            where = f"{value.kind} {value.path or ''}{asked} port {value.port}".replace("  ", " ")
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
