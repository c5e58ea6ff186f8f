"""Owns the API keys as they are now: the file read again while it may change, and how much each key has asked. Knows no HTTP."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from inference_image import api_keys
from inference_image.api_keys import ApiKey
from inference_image.contract import ENV_KEYS, KEYS_READ_SECONDS, KEYS_SECONDS, KEYS_UNKNOWN_SECONDS, RequestCode
from inference_image.engine.request import Refused
from inference_image.server import log


class Write(Protocol):
    """log.write, or a test's list."""

    def __call__(self, severity: str, message: str, **fields: Any) -> None: ...


@dataclass(eq=False, repr=False)
class _Bucket:
    """Requests that a key may still send at once; it fills up evenly to a minute's worth."""

    left: float
    at: float


@dataclass(eq=False, repr=False)
class Keyring:
    """Lives on the event loop; the file is read in a thread, because a mounted secret is a call to Secret Manager.

    Nothing is read while nobody asks. A file that can't be read leaves the keys as they were: a hiccup of Secret Manager must not
    lock everybody out, and a key that was revoked meanwhile is refused as soon as it can be read again.
    """

    path: Path
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    write: Write = log.write
    _keys: tuple[ApiKey, ...] | None = None
    _asked: float = -math.inf
    _trouble: str = ""
    _reading: asyncio.Task[None] | None = None
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    async def holder(self, key: str) -> ApiKey | None:
        """Whose key this is; None: nobody's, or its time is over. Raises Refused while the keys were never read."""
        await self._look(KEYS_SECONDS)
        found = self._among(key)
        if found is None:  # it may have been made a moment ago
            await self._look(KEYS_UNKNOWN_SECONDS)
            found = self._among(key)
        if self._keys is None:
            raise Refused(
                RequestCode.KEYS_UNREADABLE, "the API keys can't be read yet", retry_after=math.ceil(KEYS_UNKNOWN_SECONDS)
            )
        return found

    def spend(self, key: ApiKey) -> None:
        """One request that makes the model work. Raises Refused over the key's limit, which is this instance's own."""
        if key.per_minute is None:
            return
        now, rate = self.clock(), key.per_minute / 60
        bucket = self._buckets.setdefault(key.id, _Bucket(key.per_minute, now))
        bucket.left = min(key.per_minute, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            wait = math.ceil((1 - bucket.left) / rate)
            message = f"this key may ask {key.per_minute} times a minute of each instance"
            raise Refused(RequestCode.RATE_LIMIT_EXCEEDED, message, retry_after=max(1, wait))
        bucket.left -= 1

    def _among(self, key: str) -> ApiKey | None:
        found = api_keys.holder(self._keys or (), key)
        return None if found is None or found.over(self.now()) else found

    async def _look(self, age: float) -> None:
        """Read the file unless that was begun less than `age` seconds ago; wait for it, but not for ever."""
        if self._reading is None and self.clock() - self._asked >= age:
            self._asked = self.clock()
            self._reading = asyncio.create_task(self._read())
        patience = self._asked + KEYS_READ_SECONDS - self.clock()
        if self._reading is not None and patience > 0:
            await asyncio.wait({self._reading}, timeout=patience)

    async def _read(self) -> None:
        try:
            found = api_keys.read(await asyncio.to_thread(self.path.read_bytes))
        except (OSError, ValueError) as error:
            self._tell(error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error))
        else:
            self._tell("")
            self._keys = found
            self._buckets = {key.id: self._buckets[key.id] for key in found if key.id in self._buckets}
        finally:
            self._reading = None

    def _tell(self, trouble: str) -> None:
        """One line when it begins, one when it is over."""
        if trouble and not self._trouble:
            kept = "those that are known stay" if self._keys is not None else "nobody is let in"
            self.write("ERROR", f"the API keys can't be read: {ENV_KEYS}: {trouble}; {kept}")
        elif self._trouble and not trouble:
            self.write("INFO", "the API keys can be read again")
        self._trouble = trouble
