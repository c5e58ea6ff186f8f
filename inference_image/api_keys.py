"""Owns what an API key is and the file of their hashes. Knows no server and no cloud: the container reads it, gemmactl writes it.

A key is 256 random bits, so one SHA-256 is enough to store it by: a slow hash with a salt guards against lists of likely keys,
and there is none.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

SCHEMA: Final = "gemmactl/keys.v1"
PREFIX: Final = "gmk_"
"""Of every key: whoever finds one in a text knows what it is, and a scanner does."""
MOST: Final = 100
"""Keys of one service: they fit Secret Manager's 64 KiB, and the metrics have a series for each."""
PER_MINUTE_MOST: Final = 100_000
LABEL_MOST: Final = 64

_ID: Final = re.compile(r"[0-9a-f]{8}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key. `created` and `expires` are UTC, `2026-11-26T04:10:00Z`."""

    id: str
    """The first 8 digits of its hash: names the key in lists and logs, and helps nobody to guess it."""
    sha256: str
    label: str = ""
    created: str = ""
    per_minute: int | None = None
    """Requests that make the model work; None: no limit."""
    expires: str | None = None

    def over(self, now: dt.datetime) -> bool:
        """Whether its time has passed."""
        return self.expires is not None and moment(self.expires) <= now


def fresh() -> str:
    """A new key. It is shown once and kept by nobody but its holder."""
    return PREFIX + secrets.token_urlsafe(32)


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def of(key: str, *, label: str = "", created: str = "", per_minute: int | None = None, expires: str | None = None) -> ApiKey:
    """What is kept of `key`."""
    digest = hashed(key)
    return ApiKey(digest[:8], digest, label, created, per_minute, expires)


def holder(keys: Sequence[ApiKey], key: str) -> ApiKey | None:
    """Which of the keys this is. Every hash is looked at to its end, whatever was found: time tells nothing."""
    digest, found = hashed(key), None
    for one in keys:
        if hmac.compare_digest(digest, one.sha256):
            found = one
    return found


def moment(text: str) -> dt.datetime:
    """`2026-11-26T04:10:00Z`. Raises ValueError."""
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)


def written(keys: Iterable[ApiKey]) -> bytes:
    """The file."""
    rows = [{name: value for name, value in vars(one).items() if value not in (None, "")} for one in keys]
    return json.dumps({"schema": SCHEMA, "keys": rows}, ensure_ascii=False, separators=(",", ":")).encode()


def read(data: bytes) -> tuple[ApiKey, ...]:
    """The file's keys.

    Raises:
        ValueError: it is none; the text says where it is wrong and repeats nothing of it.
    """
    try:
        content = json.loads(data)
    except ValueError:
        raise ValueError("it is not JSON") from None
    rows = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or not isinstance(rows, list):
        raise ValueError(f"it is not {SCHEMA}")
    if len(rows) > MOST:
        raise ValueError(f"it has {len(rows)} keys, at most {MOST} are taken")
    return tuple(_key(row, at) for at, row in enumerate(rows, 1))


def _key(row: Any, at: int) -> ApiKey:
    def text(name: str) -> str:
        value = row.get(name, "")
        return value if isinstance(value, str) else ""

    if not isinstance(row, dict) or not _ID.fullmatch(text("id")) or not _HASH.fullmatch(text("sha256")):
        raise ValueError(f"key {at} has no id or no hash")
    limit, expires = row.get("per_minute"), text("expires") or None
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= PER_MINUTE_MOST):
        raise ValueError(f"`per_minute` of key {at} is not a number from 1 to {PER_MINUTE_MOST}")
    if expires is not None:
        try:
            moment(expires)
        except ValueError:
            raise ValueError(f"`expires` of key {at} is not a time") from None
    return ApiKey(text("id"), text("sha256"), text("label"), text("created"), limit, expires)
