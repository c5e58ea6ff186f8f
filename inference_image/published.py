"""Owns when a folder that a fine-tune writes is a model: not before its last object is there. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed

_PUBLISHED: Final = re.compile(r"(?:^|/)gemmactl/(?:models|adapters)/[^/]+/[0-9a-f]{12}$")
"""Where a fine-tune publishes: NAME/RUN_ID. A place whose list can't show the lineage is known by its address."""


def require_published(names: Container[str], where: str) -> None:
    """A folder that a fine-tune publishes into is a model, or an adapter, once its manifest is there: that comes last.

    Raises LoadFailed(model_unfinished).
    """
    if contract.MANIFEST in names or not (contract.LINEAGE in names or _PUBLISHED.search(where.rstrip("/"))):
        return
    detail = f"{where} is half-published: a fine-tune is writing it, or was stopped while it did"
    raise LoadFailed(Code.MODEL_UNFINISHED, contract.MANIFEST, detail)
