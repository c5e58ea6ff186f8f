"""Owns single objects of Cloud Storage, read whole and soon. Knows no model and no list."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from inference_image.chunks.credentials import credentials_of
from inference_image.chunks.gcs import GcsSource
from inference_image.chunks.source import Buffer, Patience
from inference_image.contract import Code, LoadFailed

if TYPE_CHECKING:
    from inference_image.chunks.wire import Credentials

SOON: Final = Patience(attempts=3, longest=1.0, stall=5.0)
"""Somebody waits for an answer."""


class Objects:
    """Reads `gs://bucket/name`. Safe from many threads; credentials are asked for once."""

    def __init__(self, environ: Mapping[str, str], patience: Patience = SOON) -> None:
        self._environ, self._patience = environ, patience
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None

    def read(self, uri: str, most: int) -> bytes | None:
        """All its bytes; None when they are more than `most`.

        Raises LoadFailed: shard_missing when there is none, access_denied, network_failed, object_changed.
        """
        folder, _, name = uri.rpartition("/")
        if not name or folder.count("/") < 2:
            raise LoadFailed(Code.SHARD_MISSING, "gs://", "no object in it")
        with self._lock:
            if self._credentials is None:
                self._credentials = credentials_of(self._environ)
        source = GcsSource(folder, self._environ, patience=self._patience, credentials=self._credentials)
        one = source.find(name)
        if one.size > most:
            return None
        buffer = Buffer(one.size)
        source.read(one, 0, one.size, buffer)
        return bytes(buffer.data)
