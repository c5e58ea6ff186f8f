"""The checks, all at the same time: each ends by itself, and their order stays. Knows no check."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from gemmactl.doctor.checks.check import Check, Ground, Verdict
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import api_disabled

MOST: Final = 64
"""Threads: a check waits for the network and nothing else."""


def run(checks: Sequence[Check], ground: Ground) -> tuple[Verdict, ...]:
    """The verdicts of the checks that concern the wish, in the order of the checks."""
    due = [check for check in checks if check.when(ground)]
    if not due:
        return ()
    with ThreadPoolExecutor(min(MOST, len(due))) as pool:
        return tuple(one for one in pool.map(lambda check: verdict(check, ground), due) if one is not None)


def verdict(check: Check, ground: Ground) -> Verdict | None:
    """One check to its end. Whatever it raises is an answer not had: it hides neither the others nor itself."""
    try:
        answer = check.ask(ground)
    except Trouble as trouble:
        return unseen(check, trouble)
    except Exception as error:  # noqa: BLE001 - a bug of one check must not refuse a deploy, nor pass for "ok"
        return Verdict(check.name, "unknown", f"unknown: this check broke: {type(error).__name__}: {error}")
    if answer is None:
        return None
    if isinstance(answer, str):
        return Verdict(check.name, "ok", answer)
    return Verdict(check.name, "finding" if answer else "ok", "; ".join(f.title for f in answer), answer)


def unseen(check: Check, trouble: Trouble) -> Verdict:
    """The end of a check that could not look."""
    facts = trouble.facts
    if api_disabled(trouble):
        api = str(facts.get("service") or facts.get("api") or "")
        return Verdict(check.name, "unknown", f"unknown until {api} is enabled", api=api)
    if facts.get("status") == 403:
        permission = str(facts.get("permission") or check.permission)
        said = f"unknown (missing permission {permission})"
        return Verdict(check.name, "unknown", said, permission=permission, needless=check.needless)
    return Verdict(check.name, "unknown", f"unknown: {trouble.what}")
