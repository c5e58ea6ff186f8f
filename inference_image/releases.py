"""Owns the names of models that were released for the families of the table: which one a folder's or a repository's name means.

Standard library only. A name that stands here means these weights, whoever keeps a copy; any other means nothing.
"""

from __future__ import annotations

import re
from typing import Final

# source: the collections of huggingface.co/google. A name that never was does no harm: nothing is called so.
_NAMES: Final = (
    r"gemma-(?:1\.1-)?(?:2b|7b)(?:-it)?",
    r"codegemma-(?:1\.1-)?(?:2b|7b)(?:-it)?",
    r"gemma-2-(?:2b|9b|27b)(?:-it)?|gemma-2-2b-jpn-it",
    r"shieldgemma-(?:2b|9b|27b)|shieldgemma-2-4b-it",
    r"txgemma-(?:2b|9b|27b)-(?:predict|chat)",
    r"datagemma-(?:rag|rig)-27b-it",
    r"gemma-3-270m(?:-it)?(?:-qat-q4_0-unquantized)?",
    r"gemma-3-(?:1b|4b|12b|27b)-(?:pt|it)(?:-qat-(?:q4_0|int4)-unquantized)?",
    r"medgemma-(?:1\.5-)?4b-(?:pt|it)|medgemma-27b(?:-text)?-it",
    r"translategemma-(?:4b|12b|27b)-it",
    r"functiongemma-270m-it",
    r"gemma-3n-e[24]b(?:-it)?",
    r"gemma-4-(?:e2b|e4b|12b|26b-a4b|31b)(?:-it)?",
)
_RELEASE: Final = re.compile("|".join(_NAMES))
_FORM: Final = re.compile(r"(?:-unsloth)?(?:-bnb)?-[48]bit|-(?:bf16|fp16|f16|fp32|f32|nf4|int8|fp8(?:-dynamic)?|awq|gptq)")
"""How a copy is stored: an adapter that was trained on one in 4 bits belongs to the weights that it was made of."""
_OWNER: Final = re.compile(r"google[-_]+")
_CONTENT: Final = re.compile(r"-[0-9a-f]{10}")
"""What a deploy adds to the name of a directory that it uploads."""


def plain(name: str) -> str:
    """A folder's or repository's name in lower case, without owner, upload and form: `google-gemma-3-4b-it-bnb-4bit`."""
    name = name.lower()
    if (found := _OWNER.match(name)) is not None:
        name = name[found.end() :]
    for end in (_CONTENT, _FORM):
        while (found := re.search(rf"(?:{end.pattern})$", name)) is not None and found.start():
            name = name[: found.start()]
    return name


def release(name: str) -> str | None:
    """The released model that a name means; None for all other names."""
    name = plain(name)
    return name if _RELEASE.fullmatch(name) else None
