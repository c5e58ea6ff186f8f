"""Refusals of Cloud Storage that name a gs:// address and what was done there, but no permission. Knows no account."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import Row
from gemmactl.doctor.rows.wordings import denied

_BUCKET: Final = r"['\"`\[(]?gs://(?P<bucket>[a-z0-9][\w.-]{1,220}[a-z0-9])"
_PLACE: Final = rf"{_BUCKET}/(?!\.\.\.)[^\s'\"`\])]{{1,400}}['\"`\])]{{0,2}}"
"""An object; what is done with a whole bucket needs other permissions."""
_NO: Final = (
    r"(?:googleapi: )?(?:(?:code|status|Error|HTTPError|HTTP|Exception):? 403\b|access denied|permission denied|forbidden)"
)
_NAMED: Final = r"(?!.{0,600}?(?:does not have storage\.|[Pp]ermission ['\"`]?storage\.|IAM_PERMISSION_DENIED))"
_OTHER: Final = (
    r"accountDisabled|billing account|SERVICE_DISABLED|has not been used in project|vpcServiceControls|KMS key|constraint"
    r"|[Rr]etention|requester pays|violates"
)
"""What else a bucket refuses for: no role on it helps."""


def _row(code: str, title: str, permission: str, *patterns: str) -> Row:
    return denied(
        code,
        title,
        "The address and what was done there tell which permission it needed; the caller has no role on the bucket with it.",
        "Make sure that the bucket is the right one; then grant the role on it to the account that made the call.",
        permission,
        *patterns,
        subcategory="bucket",
        explains=("denied-somehow", "caller-denied", "iam-denied-somehow", "call-url"),
        unless=_OTHER,
        confidence=0.75,
    )


def _did(verbs: str, place: str = _PLACE) -> str:
    return rf"\b(?:{verbs})\b[^.]{{0,80}}? {place}.{{0,80}}?{_NO}{_NAMED}"


ROWS: Final = (
    _row(
        "bucket-write-denied",
        "The caller may not write to the bucket",
        "storage.objects.create",
        _did(
            r"writ(?:e|ing)|upload(?:ing)?|sav(?:e|ing)|creat(?:e|ing)|push(?:ing)?|copy(?:ing)? (?:\S{1,200} )?to|stag(?:e|ing)"
        ),
    ),
    _row(
        "bucket-read-denied",
        "The caller may not read from the bucket",
        "storage.objects.get",
        _did(r"read(?:ing)?|open(?:ing)?|fetch(?:ing)?|download(?:ing)?|load(?:ing)?|copy(?:ing)?(?: from)?"),
    ),
    _row(
        "bucket-list-denied",
        "The caller may not list the bucket",
        "storage.objects.list",
        _did(r"list(?:ing)?|querying", rf"{_BUCKET}(?:/[^\s'\"`\])]{{0,400}})?['\"`\])]{{0,2}}"),
        rf"querying Cloud Storage failed: {_NO}{_NAMED}",
    ),
)
