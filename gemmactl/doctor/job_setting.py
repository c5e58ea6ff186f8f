"""Settings of a fine-tune's job that a finding leads to, with values from the job's own numbers. Pure; knows no cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from finetune_image.contract import ENV_TASK_SECONDS
from gemmactl import limits, spec_rules, tune_rules
from gemmactl.doctor.finding import Finding
from gemmactl.doctor.setting import BY_HAND, HEARSAY, Setting, legal, more_memory, text
from gemmactl.errors import Trouble
from gemmactl.resources import names
from gemmactl.tune_spec import TASK_SECONDS, Tune

FLAGS: Final[Mapping[str, str]] = {
    "memory": "--memory",
    "cpu": "--cpu",
    "timeout": "--task-timeout",
    "gpu_type": "--gpu-type",
}
"""Field of Tune -> gcloud's flag."""
OUT_OF_MEMORY: Final = frozenset({"host-memory", "memory-of-host", "process-killed", "finetune-out-of-memory"})
"""Codes of an attempt that needed more memory than its job gives."""
OUT_OF_TIME: Final = frozenset({"task-timeout"})
"""Likewise of one whose time was over."""


def derived(finding: Finding, wish: Tune) -> tuple[Setting, ...] | str:
    """What to set instead, or why no value follows. Every rule that a fine-tune keeps holds for the result."""
    rule = _RULES.get(finding.code)
    if rule is None:
        return WHY_NOT.get(finding.code) or BY_HAND.get(finding.fix_kind, "")
    if finding.hearsay:
        return HEARSAY
    return legal(rule(wish), wish, lambda changes: tune_rules.check(changed(wish, changes)))


def changed(wish: Tune, changes: Mapping[str, Any]) -> Tune:
    """The wish with these settings."""
    return replace(wish, **changes)


def line(wish: Tune, values: Mapping[str, Any]) -> str:
    """The gcloud line that sets these values on the job; the worker is told its time, by which it saves."""
    flags = " ".join(f"{FLAGS[field]}={text(value)}" for field, value in values.items())
    told = f" --update-env-vars={ENV_TASK_SECONDS}={values['timeout']}" if "timeout" in values else ""
    return f"gcloud run jobs update {names.tune_job(wish.name)} {flags}{told} --region={wish.region} --project={wish.project}"


_Answer = Mapping[str, Any] | str


def _memory(wish: Tune) -> _Answer:
    return more_memory(wish)


def _pair(wish: Tune) -> _Answer:
    row = limits.GPUS.get(wish.gpu_type)
    if row is None:  # the type is what is wrong: one that fits what the job has follows only where there is one
        fits = [one for one in limits.GPUS.values() if wish.region in one.regions and _fits(wish, one)]
        return (
            {"gpu_type": fits[0].name}
            if len(fits) == 1
            else f"{wish.gpu_type} is no GPU of Cloud Run, and which is meant is yours"
        )
    try:
        spec_rules.size(wish)
    except Trouble:
        return {"cpu": row.default_cpu, "memory": row.default_memory}
    return f"{wish.cpu} CPU and {wish.memory} are a legal pair with {row.name}: the message is about another one"


def _fits(wish: Tune, row: limits.Gpu) -> bool:
    low, high = row.sizes.get(wish.cpu, (1, 0))
    return low <= spec_rules.gib(wish.memory) <= high


def _timeout(wish: Tune) -> _Answer:
    if wish.timeout >= TASK_SECONDS:
        return f"{TASK_SECONDS} s is the most for a task with a GPU: the next attempt goes on from its checkpoint"
    return {"timeout": TASK_SECONDS}


def _hour(wish: Tune) -> _Answer:
    return {"timeout": min(wish.timeout, TASK_SECONDS)}


_RULES: Final[Mapping[str, Callable[[Tune], _Answer]]] = {
    **dict.fromkeys(OUT_OF_MEMORY, _memory),
    **dict.fromkeys(("gpu-shape", "job-shape", "cpu-memory-pair", "job-illegal"), _pair),
    **dict.fromkeys(OUT_OF_TIME, _timeout),
    "task-timeout-too-long": _hour,
}
WHY_NOT: Final[Mapping[str, str]] = {
    "differs-job": "the same settings would end the same until the cause is repaired",
    "gpu-region": "a job stays in the region that it was made in: run the fine-tune in another one",
    "finetune-budget-spent": "more money or hours are yours to give: --max-usd or --max-hours of the same command",
    **dict.fromkeys(
        ("finetune-out-of-gpu-memory", "cuda-memory"),
        "a shorter --max-length, 4-bit weights or a larger GPU: each changes what is trained or costs, and is yours to choose",
    ),
}
"""Findings that are about a setting of which no single value follows."""
