"""google.rpc.ErrorInfo out of a text, in its four shapes: YAML, JSON, Python's dicts, gRPC's own. Knows no failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

_REASON: Final = r"""['"]?\breason['"]?\s?[:=]\s?['"]?(?P<reason>[A-Z][A-Z0-9_]{4,63})\b"""
_PAIR: Final = (
    r"""['"]?\b(?P<key>permission|resource|service|consumer|project|services|quota_limit|method)['"]?\s?:\s?"""
    r"""['"]?(?P<value>[^\s'",}\]]{1,300})"""
)
_GRPC_PAIR: Final = r"""key:\s?"(?P<key>\w{1,40})"\s?value:\s?"(?P<value>[^"]{1,300})\""""
_BORDER: Final = r"@type"
_REACH: Final = 700


@dataclass(frozen=True)
class Reason:
    """One ErrorInfo. `metadata` has whatever stood beside the reason."""

    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    start: int = 0
    end: int = 0


@cache
def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def reasons(flat: str) -> tuple[Reason, ...]:
    """Every ErrorInfo in a flattened text, in its order."""
    found = list(_re(_REASON).finditer(flat))
    out: list[Reason] = []
    for i, match in enumerate(found):
        # metadata stands on either side of the reason, never beyond the next detail or the next reason
        low = max(match.start() - _REACH, found[i - 1].end() if i else 0)
        high = min(match.end() + _REACH, found[i + 1].start() if i + 1 < len(found) else len(flat))
        before, after = flat[low : match.start()], flat[match.end() : high]
        before = before[before.rfind(_BORDER) + 1 :] if _BORDER in before else before if "metadata" in before else ""
        after = after.partition(_BORDER)[0]
        metadata: dict[str, str] = {}
        for part in (after, before):
            for pair in (*_re(_PAIR).finditer(part), *_re(_GRPC_PAIR).finditer(part)):
                metadata.setdefault(pair["key"], pair["value"])
        out.append(Reason(match["reason"], metadata, match.start(), match.end()))
    return tuple(out)


def from_facts(facts: Mapping[str, Any]) -> Reason | None:
    """The ErrorInfo that a Trouble carries in its facts, or None."""
    keys = ("permission", "resource", "service", "consumer", "project", "principal")
    metadata = {k: str(facts[k]) for k in keys if facts.get(k)}
    reason = str(facts.get("reason") or "")
    if not reason and metadata.get("permission"):
        reason = "IAM_PERMISSION_DENIED"
    return Reason(reason, metadata) if reason else None
