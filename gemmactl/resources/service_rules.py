"""What Cloud Run does not look at under validate_only and refuses later, or takes and never fulfils. Pure; knows no cloud.

Source: a conformance suite's comparison of a rule table with the live API (November 2026), and the API's reference for limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from gemmactl.limits import GPUS, PROBE_BUDGET_MOST, PROBE_BUDGET_WITHOUT_GPU
from gemmactl.resources.service_types import Container, Probe, SecretEnv, SecretVolume, Volume

if TYPE_CHECKING:
    from gemmactl.resources.service import Service

VOLUME: Final = re.compile(r"[A-Za-z0-9_-]+")
DEFAULT_PERIOD, DEFAULT_TIMEOUT, DEFAULT_FAILURES = 10, 1, 3
"""What the server puts in for a probe that leaves them out."""


def violations(service: Service) -> tuple[str, ...]:
    """Each rule that the service breaks, in words that name the field."""
    return tuple(parts(service.gpu_type, service.containers or (), service.volumes or ()))


def parts(gpu_type: str | None, containers: Iterable[Container], volumes: Iterable[Volume]) -> Iterator[str]:
    """The rules for what services and jobs have alike."""
    if gpu_type and gpu_type not in GPUS:
        yield f"accelerator {gpu_type!r} is none of Cloud Run's: {', '.join(GPUS)}"
    budget = PROBE_BUDGET_MOST if gpu_type else PROBE_BUDGET_WITHOUT_GPU
    for volume in volumes:
        yield from _volume(volume)
    for at, box in enumerate(containers):
        where = f"container {box.name or at}"
        yield from _twice(f"{where}: variable", (entry.name for entry in box.env or ()))
        yield from _twice(f"{where}: mount path", (mount.path.rstrip("/") or "/" for mount in box.mounts or ()))
        yield from _secrets(where, box)
        yield from _working_dir(where, box)
        yield from _probe(f"{where}: startup probe", box.startup_probe, budget)
        yield from _probe(f"{where}: liveness probe", box.liveness_probe, None)


def _volume(volume: Volume) -> Iterator[str]:
    if not VOLUME.fullmatch(volume.name):
        yield f"volume {volume.name!r} should only have alphanumeric characters, hyphens and underscores"
    if isinstance(volume, SecretVolume) and not volume.secret:
        yield f"volume {volume.name!r} names no secret"


def _twice(what: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    told: set[str] = set()
    for name in names:
        if name in seen and name not in told:
            told.add(name)
            yield f"{what} {name} is there twice"
        seen.add(name)


def _secrets(where: str, box: Container) -> Iterator[str]:
    for entry in box.env or ():
        if isinstance(entry, SecretEnv) and not (entry.secret and entry.version):
            yield f"{where}: variable {entry.name} names no {'version' if entry.secret else 'secret'}"


def _working_dir(where: str, box: Container) -> Iterator[str]:
    if box.working_dir and not box.working_dir.startswith("/"):
        yield f"{where}: working directory {box.working_dir!r} should be a valid unix absolute path"


def _probe(where: str, probe: Probe | None, budget: int | None) -> Iterator[str]:
    if probe is None:
        return
    period, timeout = probe.period or DEFAULT_PERIOD, probe.timeout or DEFAULT_TIMEOUT
    if timeout > period:
        yield f"{where}: timeout {timeout} s is longer than period {period} s"
    lasts = period * (probe.failures or DEFAULT_FAILURES)
    if budget is not None and lasts > budget:
        yield f"{where}: period x failure threshold is {lasts} s, at most {budget} s"
