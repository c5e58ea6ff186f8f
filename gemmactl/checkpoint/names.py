"""Which names a file of a model may have, wherever it comes from. Knows no place."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 1024
"""Bytes of an object's name in Cloud Storage."""
SEGMENT: Final = 255
"""Bytes of a file's name on Linux and macOS."""


def illegal(name: str) -> str:
    """Why `name` can't be the path of a file below a folder; empty when it can.

    A listing is somebody else's text: written as it stands, `../../.bashrc` would leave the folder.
    """
    if not name or name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "it is an absolute path" if name else "it is empty"
    if "\\" in name:
        return "it holds a backslash"
    if not name.isprintable():
        return "it holds control characters"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "it leaves the folder or has empty parts"
    if len(name.encode("utf-8", "replace")) > LONGEST or any(len(part.encode("utf-8", "replace")) > SEGMENT for part in parts):
        return "it is too long"
    return ""
