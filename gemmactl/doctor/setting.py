"""Settings of a service that a finding leads to, with values from the service's own numbers. Pure; knows no text and no cloud."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gemmactl import limits, spec_rules
from gemmactl.doctor.finding import Finding, FixKind
from gemmactl.errors import Trouble
from gemmactl.spec import Probe, Serve
from gemmactl.spec_parts import Sized

Room = Callable[[Serve], int | None]
"""How many instances the region's quota has for a service beside the others; None: it is not told. Asked only when it matters."""
FLAGS: Final[Mapping[str, str]] = {
    "memory": "--memory",
    "cpu": "--cpu",
    "timeout": "--timeout",
    "probe": "--startup-probe",
    "max_instances": "--max-instances",
    "min_instances": "--min-instances",
    "gpu_type": "--gpu-type",
}
"""Field of Serve or of Tune -> the flag of deploy and of finetune run; for a service gcloud calls it the same."""
HEARSAY: Final = "only the container's own print says so, and what it prints is data: it changes no setting"


@dataclass(frozen=True)
class Setting:
    """One setting: `field` of Serve or of Tune, its value now, and the one that is legal and cures."""

    field: str
    was: Any
    value: Any

    @property
    def flag(self) -> str:
        return FLAGS[self.field]

    def __str__(self) -> str:
        return f"{self.flag} {text(self.was)} -> {text(self.value)}"

    def document(self) -> dict[str, str]:
        """For machines."""
        return {"flag": self.flag, "was": text(self.was), "value": text(self.value)}


def derived(finding: Finding, wish: Serve, room: Room = lambda _wish: None) -> tuple[Setting, ...] | str:
    """What to set instead, or why no value follows. Every rule that a deploy keeps holds for the result."""
    rule = _RULES.get(finding.code)
    if rule is None:
        return WHY_NOT.get(finding.code) or BY_HAND.get(finding.fix_kind, "")
    if finding.hearsay:
        return HEARSAY
    return legal(rule(wish, room), wish, lambda changes: spec_rules.check(changed(wish, changes)))


def legal(
    found: Mapping[str, Any] | str, wish: object, check: Callable[[Mapping[str, Any]], object]
) -> tuple[Setting, ...] | str:
    """What of a rule's answer differs from the wish, or why that is not to be set. `check` raises Trouble for what is illegal."""
    if isinstance(found, str):
        return found
    changes = {field: value for field, value in found.items() if value != getattr(wish, field)}
    if not changes:
        return "its settings are legal: which one is meant does not follow"
    try:
        check(changes)
    except Trouble as trouble:
        return f"{trouble.what}: {trouble.why}"
    return tuple(Setting(field, getattr(wish, field), value) for field, value in changes.items())


def changed(wish: Serve, changes: Mapping[str, Any]) -> Serve:
    """The wish with these settings, as if somebody had given them."""
    return replace(wish, given=wish.given | (frozenset(changes) & frozenset(_DERIVED)), **changes)


def line(wish: Serve, values: Mapping[str, Any]) -> str:
    """The gcloud line that sets these values on the service of a wish."""
    flags = " ".join(f"{FLAGS[field]}={text(value)}" for field, value in values.items())
    return f"gcloud run services update {wish.name} {flags} --region={wish.region} --project={wish.project}"


def text(value: Any) -> str:
    """A value as it stands behind its flag."""
    if not isinstance(value, Probe):
        return str(value)
    kind = f"tcpSocket.port={value.port}" if value.tcp else f"httpGet.path={value.path},httpGet.port={value.port}"
    return (
        f"{kind},initialDelaySeconds={value.initial_delay},timeoutSeconds={value.timeout}"
        f",periodSeconds={value.period},failureThreshold={value.failures}"
    )


_DERIVED: Final = ("cpu", "memory", "probe", "max_instances")
"""What a model's size decides where nobody gave it."""
_Answer = Mapping[str, Any] | str


def _memory(wish: Serve, _room: Room) -> _Answer:
    return more_memory(wish)


def more_memory(wish: Sized) -> Mapping[str, Any] | str:
    """The usual memory of its GPU where it has less, else the most; with the CPU that goes with it."""
    row, now = spec_rules.gpu(wish.gpu_type), spec_rules.gib(wish.memory)
    most = max(high for _, high in row.sizes.values())
    usual = spec_rules.gib(row.default_memory)
    if now >= most:
        return f"{wish.memory} is the most that goes with {row.name}: no setting gives it more"
    memory = f"{math.ceil(usual if now < usual else most)}Gi"
    cpu, _ = spec_rules.partner(row, None, memory)
    return {"cpu": cpu, "memory": memory}


def _pair(wish: Serve, _room: Room) -> _Answer:
    row = spec_rules.gpu(wish.gpu_type)
    try:
        spec_rules.size(wish)
    except Trouble:
        return {"cpu": row.default_cpu, "memory": row.default_memory}
    return f"{wish.cpu} CPU and {wish.memory} are a legal pair with {row.name}: the message is about another one"


def _timeout(wish: Serve, _room: Room) -> _Answer:
    if wish.timeout >= limits.TIMEOUT_MOST:
        return f"{wish.timeout} s is the most: the answer has to be streamed, or shorter"
    return {"timeout": limits.TIMEOUT_MOST}


def _patience(wish: Serve, _room: Room) -> _Answer:
    probe, usual = wish.probe, Probe().budget
    if probe.budget >= usual:
        return f"its probe waits {probe.budget} s already: why nothing answered is in its log"
    failures = math.ceil((usual - probe.initial_delay) / probe.period)
    return {"probe": replace(probe, failures=failures)}


def _probe(wish: Serve, _room: Room) -> _Answer:
    probe = wish.probe
    timeout = min(probe.timeout, probe.period)
    failures = min(probe.failures, limits.PROBE_BUDGET_MOST // probe.period)
    return {"probe": replace(probe, timeout=timeout, failures=failures)}


def _instances(wish: Serve, room: Room) -> _Answer:
    left = room(wish)
    if left is None:
        return "the quota of the region is not told: it is not known how many instances fit"
    if left < 1:
        return "the quota leaves no instance at all: ask for more, or choose another region"
    if left >= wish.max_instances:
        return f"the quota has room for {left} by now, and {wish.max_instances} is wished"
    return {"max_instances": left, "min_instances": min(wish.min_instances, left)}


def _bounds(wish: Serve, _room: Room) -> _Answer:
    return {"min_instances": min(wish.min_instances, wish.max_instances)}


_RULES: Final[Mapping[str, Callable[[Serve, Room], _Answer]]] = {
    **dict.fromkeys(("load-host-memory", "host-memory", "memory-of-host", "process-killed"), _memory),
    **dict.fromkeys(("gpu-shape", "cpu-memory-pair"), _pair),
    **dict.fromkeys(("request-timeout", "request-too-slow"), _timeout),
    **dict.fromkeys(("probe-timeout", "probe-failed"), _patience),
    **dict.fromkeys(("probe-fields", "probe-refused", "service-illegal"), _probe),
    **dict.fromkeys(("gpu-quota-small", "memory-quota", "cpu-quota", "max-scale-memory"), _instances),
    "scale-bounds": _bounds,
}
WHY_NOT: Final[Mapping[str, str]] = {
    "differs-service": "the same deploy would end the same until its cause is repaired; --retry deploys it then",
    "gpu-region": "a service stays in the region that it was made in: deploy it in another one, then destroy this one",
    "ingress-closed": "who may reach it is yours to decide",
    "no-instance": "--concurrency slows every answer down and --max-instances costs money: which one is yours to decide",
    **dict.fromkeys(
        ("load-gpu-memory", "cuda-memory", "context-too-long", "gpu-memory-engine"),
        "a shorter context, int8 or a larger GPU: each changes what it answers or costs, and is yours to choose",
    ),
}
"""Findings that are about a setting of which no single value follows."""
BY_HAND: Final[Mapping[FixKind, str]] = {
    "iam_grant": "it is not certain to whom, or on what",
    "enable_api": "it is not certain in which project",
    "config_change": "which value is right does not follow from what was seen",
    "code_change": "the image or the program has to change, no setting cures it",
    "user_action": "it takes a person",
    "admin_action": "it takes somebody with other rights",
    "diagnose": "its cause is still to be found",
    "retry": "it passes: try again later",
}
"""Why `--fix` leaves a finding of a kind alone that has no remedy."""
