"""Cloud Run's etags: a new one with each write, and what a writer is told who has read another. Knows no resource."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from gemmactl.sandbox.wire import failed


def new_etag() -> str:
    return f'"{uuid.uuid4().hex[:12]}"'


def guard(document: Mapping[str, Any], etag: str) -> None:
    """`etag`: as the caller gave it; empty: he doesn't mind.

    Raises:
        ApiError: 409, the document has another one.
    """
    if etag and etag != document["etag"]:
        versions = f"version '{etag}' was specified but current version is '{document['etag']}'."
        raise failed("ABORTED", f"Conflict for resource '{document['name'].rpartition('/')[2]}': {versions}")  # guess
