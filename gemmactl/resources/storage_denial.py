"""Whether a container's log lines tell that Cloud Storage refused its account. Pure; knows no cloud and no remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NAMED: Final = re.compile(
    r"(?P<who>[\w.+%-]{1,64}@[\w.-]{1,253})['\"\]]?\s{1,3}does not have\s{1,3}storage\.\w{1,40}\.\w{1,60}\s{1,3}access"
)
"""The sentence of both APIs. In the XML form it may be broken into lines."""
_PLACE: Final = re.compile(
    r"//(?:[\w.-]{1,100}\.)?storage\.googleapis\.com\b|googleapis\.com/(?:\w{1,20}/)?storage/|\bgs://|Google Cloud Storage"
    r"|\bstorage\.(?:objects|buckets)\.[a-z]"
)
_REFUSED: Final = re.compile(
    r"\b403 (?:Client Error|Forbidden|GET|HEAD|POST)\b|\b403\b.{0,20}\bForbidden\b|\bForbidden: "
    r"|(?:error|exception|code|status|response|returned|got|\bHTTP(?:/[\d.]{1,3})?)\b.{0,12}\b403\b"
    r"|\bPERMISSION_?DENIED\b|\bAccess ?Denied|\bdoes not have\s{1,3}storage\.|\bPermission\b.{0,60}\bdenied on\b",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(r"https?://")
_HUB: Final = re.compile(r"huggingface|\bhf\.co\b|gated", re.IGNORECASE)
_LASTING: Final = re.compile(
    r"billing|Anonymous caller|organization's policy|VPC.?Service.?Controls|RATE_?LIMIT|SCOPE_INSUFFICIENT|authentication scopes",
    re.IGNORECASE,
)
"""Refusals that no grant cures."""


def storage_denied(texts: Iterable[str], account: str, reads: str = "") -> bool:
    """Whether the lines hold a 403 of Cloud Storage to `account`, or to nobody in particular while no line names another.

    The lines are data: one that lies makes somebody wait, and does nothing else. `reads`: what the container was told to
    run. urllib's `HTTP Error 403: Forbidden` names no address: it counts where that is a bucket and no other host refused.
    """
    whole = "\n".join(texts)
    named = {found["who"].lower() for found in _NAMED.finditer(whole)}
    if named:
        return account.lower() in named
    refused = [line for line in whole.splitlines() if _REFUSED.search(line) and not _LASTING.search(line)]
    if any(_PLACE.search(line) for line in refused):
        return True
    elsewhere = _HUB.search(whole) or any(_ADDRESS.search(line) for line in refused)
    return not elsewhere and bool(_PLACE.search(reads)) and any("403" in line for line in refused)
