"""A TuneFailed of the fine-tune's package as the Trouble that a user sees. Knows no command."""

from __future__ import annotations

from typing import Final

from finetune_image.contract import Code, TuneFailed
from gemmactl.errors import Trouble, refused, usage

_WHAT: Final = {
    Code.DATA_INVALID: "the data can't be trained on",
    Code.DATA_NOT_FOUND: "the data can't be read",
    Code.SETTINGS_INVALID: "a setting can't be so",
}


def trouble(failed: TuneFailed) -> Trouble:
    """Refused before any change; a setting is a usage error."""
    found = failed.failure
    what = f"{_WHAT.get(found.code, str(found.code).replace('_', ' '))}: {found.where}"
    remedy = "\n".join(found.advice) or "correct it, then run the same command again"
    code = f"finetune-{found.code}".replace("_", "-")
    if found.code is Code.SETTINGS_INVALID:
        return usage(what, why=found.detail, remedy=remedy, code=code)
    return refused(
        what, why=found.detail, remedy=remedy, code=code, facts={"finetune_code": str(found.code), "where": found.where}
    )
