"""Owns how adapters are named and given: `name=place` pairs. Knows no folder and no tensor; standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.small_files import parse_json

NAME: Final = re.compile(r"[a-z0-9._-]{1,64}")
MOST: Final = 64
"""Adapters of one service."""
_BEGINS: Final = re.compile(r"(?:^|[\s,]+)([^\s,=/:]+)=")


def places(text: str) -> dict[str, str]:
    """{name: place} of ENV_ADAPTERS: `name=place` pairs between spaces, commas or line ends, or a JSON object.

    A place may have spaces in it, as long as nothing after them looks like the next pair. Raises ValueError: what it must be.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            pairs = [*parse_json(text.encode("utf-8", "surrogateescape"), contract.ENV_ADAPTERS, Code.SETTING_INVALID).items()]
        except LoadFailed as failed:
            raise ValueError(f"NAME=PLACE pairs, or a JSON object of them ({failed.failure.detail})") from None
    else:
        begins = list(_BEGINS.finditer(text))
        if bool(text) != bool(begins) or (begins and begins[0].start()):
            raise ValueError("NAME=PLACE, as in korean=gs://BUCKET/FOLDER; more of them after a space or a line end")
        ends = [*(one.start() for one in begins[1:]), len(text)]
        pairs = [(one[1], text[one.end() : end]) for one, end in zip(begins, ends, strict=False)]
    return checked(pairs)


def checked(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """The pairs as a mapping. Raises ValueError for a name or place that can't be one, and for a name that is there twice."""
    found: dict[str, str] = {}
    for name, place in pairs:
        if not NAME.fullmatch(name):
            raise ValueError(f"names of 1 to 64 of a-z, 0-9, dot, hyphen and underscore, which {name[:80]!r} is not")
        if name in found:
            raise ValueError(f"different names; {name} is there twice")
        if not isinstance(place, str) or not place.strip():
            raise ValueError(f"a place for each name; {name} has none")
        found[name] = place.strip()
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} adapters, not {len(found)}")
    return found
