"""--presets FILE -> the container's variable that carries it. Knows no cloud and judges no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gemmactl.errors import usage
from inference_image import contract, layout
from inference_image.contract import LoadFailed
from inference_image.presets_file import Document, plain

LIMIT: Final = layout.limit_of(contract.PRESETS)
SHOWN: Final = "docs/presets.md has the form"


def variable(flags: Mapping[str, Any]) -> str:
    """The document of contract.ENV_PRESETS as JSON, or `` when none is given.

    Raises:
        Trouble: (usage) the file can't be read, or is no presets.
    """
    given = flags.get("presets")
    if not given:
        return ""
    path = Path(given).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise usage(
            f"--presets {given} can't be read",
            why=error.strerror or str(error),
            remedy=f"name a YAML or JSON file; {SHOWN}",
            code="presets-unreadable",
        ) from None
    try:
        Document.parse(data, str(given))
        text = json.dumps(plain(data, str(given)), ensure_ascii=False, separators=(",", ":"))
        Document.parse(text.encode(), contract.ENV_PRESETS)  # a variable holds less than a file
    except LoadFailed as failed:
        raise usage(
            f"--presets {given} can't be used",
            why=failed.failure.detail,
            remedy=f"correct it; {SHOWN}. What is too large for a variable goes beside the model as {contract.PRESETS}",
            code="presets-illegal",
        ) from None
    return text
