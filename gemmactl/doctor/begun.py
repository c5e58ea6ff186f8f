"""A text that begins in the middle of its message: the first words put back where only one thing can have stood. Knows no row."""

from __future__ import annotations

import re
from typing import Final

_DENIED: Final = r"(?i)(?P<rest>[a-z][\w.]{6,80}?)(?P<mark>['\"`]{0,1} (?:permission )?denied (?:on|for) (?:the )?resource\b)"
_STATUS: Final = r"(?P<rest>[A-Z_]{4,20}): \S"
_STATUSES: Final = ("PERMISSION_DENIED", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED")
_COMMAND: Final = r"(?P<rest>g?c?l?o?u?d?\.(?:[a-z][\w-]{1,30}\.){1,4}[a-z][\w-]{1,30}\) )"


def whole(flat: str) -> str:
    """The text with its first message completed, or as it is."""
    if found := re.match(_DENIED, flat):
        permission = _permission(found["rest"])
        return (
            f"Permission '{permission}'{found['mark'].lstrip(chr(39) + chr(34) + '`')}{flat[found.end() :]}"
            if permission
            else flat
        )
    if found := re.match(_STATUS, flat):
        ends = [status for status in _STATUSES if status.endswith(found["rest"]) and status != found["rest"]]
        return f"{ends[0]}{flat[found.end('rest') :]}" if len(ends) == 1 else flat
    if found := re.match(_COMMAND, flat):
        return f"ERROR: (gcloud{found['rest'][found['rest'].index('.') :]}{flat[found.end() :]}"
    return flat


def _permission(rest: str) -> str:
    """The only permission that ends so; `` when several do, or when nothing is missing."""
    from gemmactl.doctor.permissions import canonical, known

    if canonical(rest) in known():
        return ""
    ends = [name for name in known() if name.lower().endswith(rest.lower())]
    return ends[0] if len(ends) == 1 else ""
