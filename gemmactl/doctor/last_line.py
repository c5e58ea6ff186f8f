"""How the last line of a container of ours is recognised: what failed, with a code of its image's contract. Knows no code."""

from __future__ import annotations

from typing import Final

QUOTED: Final = ("category:model", "category:container", "category:gpu", "category:network", "category:iam", "category:config")
"""The detail of a failure quotes what others would take for one of its own."""


def patterns(said: str, key: str, code: str, place: str, reach: int) -> tuple[str, str]:
    """Either the message or the nested object; in a console's export the nested one may come first.

    `said`: how the message begins. `place`: a group for where it failed. `key`: of the nested object, whose code stands within
    `reach` characters.
    """
    return (
        rf"{said}: {code}: {place}: (?P<detail>[^\"]{{0,300}})",
        rf"[\"']?{key}[\"']? ?: ?\{{[^{{}}]{{0,{reach}}}?[\"']?code[\"']? ?: ?[\"']?{code}\b",
    )
