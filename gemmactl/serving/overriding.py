"""--override values -> the container's variable that carries them. Knows no cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gemmactl.checkpoint.corrections import parse_flags
from gemmactl.errors import usage


def variable(flags: Mapping[str, Any]) -> str:
    """The document of contract.ENV_OVERRIDES, or `` when nothing is overridden.

    Raises:
        Trouble: (usage) a value can't be read.
    """
    given = flags.get("override") or ()
    if not given:
        return ""
    try:
        made = parse_flags(given)
    except ValueError as error:
        raise usage(
            "--override can't be read",
            why=f"{', '.join(map(repr, given))} is given; it must be {error}",
            remedy="`gemmactl inspect MODEL --fix` prints the flags that a model needs",
            code="override-illegal",
        ) from None
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
