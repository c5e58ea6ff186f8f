"""Why a finding's role is the one to grant, and none that is broader. Pure; knows no text and no principal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmactl.doctor import by_data
from gemmactl.doctor.permissions import NO_LESS, canonical, least

if TYPE_CHECKING:
    from gemmactl.doctor.finding import Finding

WHOLE = ("project", "folder", "organization", "billing account")
"""Scopes that hold other things."""


def why_not(finding: Finding) -> str:
    """What the role holds more than is missing, what the next one would hold, and where it is bound; `` without a role."""
    if not finding.role:
        return ""
    return " ".join(filter(None, (_role(finding), _place(finding))))


def _role(finding: Finding) -> str:
    role, permission = finding.role, finding.permission
    if not permission:
        return f"{role} is the one role that this step needs; owner, editor and admin roles hold far more."
    known = least(permission)
    if known is None:
        return _by_data(role, permission)
    trap = f" Known traps: {known.trap}." if known.trap and known.trap not in finding.not_fix else ""
    if role != known.role:
        return f"{role} is chosen for this very step, which takes more than {permission}.{trap}"
    reasons = {other: NO_LESS[at] for other in known.also if (at := (canonical(permission), other)) in NO_LESS}
    wider = [other for other in known.also if other not in reasons]
    more = f" {', '.join(wider)} would do too, and hold{'s' * (len(wider) == 1)} more." if wider else ""
    less = "".join(f" Not {other}, which holds it as well: {why}." for other, why in reasons.items())
    return f"{role} is the least that fits {permission}.{more}{less}{trap}"


def _by_data(role: str, permission: str) -> str:
    """With the sizes that the data tells: nobody chose by hand, so whoever grants it has to look."""
    holders = by_data.holders(permission)
    own = next((holder.size for holder in holders if holder.role == role), 0)
    held = f" of {own} permission{'s' * (own != 1)}" if own else ""
    wider = [f"{h.role} ({h.size})" for h in holders if h.size > own and h.role != role][:2]
    more = f" The next broader: {', '.join(wider)}." if wider else ""
    return f"{role}{held} is the narrowest with {permission} by data, not curated.{more}"


def _place(finding: Finding) -> str:
    if not finding.scope:
        return ""
    if finding.scope in WHOLE:
        return f"It is bound on this {finding.scope}, and on nothing above it."
    return f"It is bound on this one {finding.scope}, not on the project."
