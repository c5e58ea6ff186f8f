"""Protobuf messages as stored JSON documents, field masks and pages. Knows no API."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from gemmactl.sandbox.store import Document
from gemmactl.sandbox.wire import failed

M = TypeVar("M", bound=Message)
T = TypeVar("T")


def to_document(message: Message) -> Document:
    """As it is stored: JSON names, enum names."""
    document: Document = json_format.MessageToDict(message)
    return document


def to_message(kind: type[M], document: Document) -> M:
    """Back again; a field that a newer version stored is left out."""
    message: M = json_format.ParseDict(document, kind(), ignore_unknown_fields=True)
    return message


def merge(target: Message, wanted: Message, mask: Any) -> None:
    """Copy the fields in `mask` (all that are set when it is empty) from `wanted`; lists and messages are replaced whole.

    Raises:
        ApiError: 400 for a path that is no field.
    """
    paths = list(mask.paths) or [field.name for field, _ in wanted.ListFields()]
    if paths == ["*"]:
        paths = [field.name for field in wanted.DESCRIPTOR.fields]
    for path in paths:
        _copy(target, wanted, path.split("."), path)


def _copy(target: Any, wanted: Any, parts: list[str], path: str) -> None:
    field = next((f for f in target.DESCRIPTOR.fields if parts[0] in (f.name, f.name.rstrip("_"), f.json_name)), None)
    if field is None:
        raise failed("INVALID_ARGUMENT", f"Invalid field mask: unknown field '{path}'")  # guess
    if len(parts) > 1 and field.message_type is not None and not field.is_repeated:
        _copy(getattr(target, field.name), getattr(wanted, field.name), parts[1:], path)
        return
    target.ClearField(field.name)
    if field.is_repeated:
        # MergeFrom of a message that holds this field alone: works for lists and maps alike
        alone = type(wanted)()
        alone.CopyFrom(wanted)
        for other in alone.DESCRIPTOR.fields:
            if other.name != field.name:
                alone.ClearField(other.name)
        target.MergeFrom(alone)
    elif field.message_type is None:
        if not field.has_presence or wanted.HasField(field.name):
            setattr(target, field.name, getattr(wanted, field.name))
    elif wanted.HasField(field.name):
        getattr(target, field.name).CopyFrom(getattr(wanted, field.name))


def page(rows: list[T], size: int, token: str, *, most: int = 1000) -> tuple[list[T], str]:
    """One page and the token of the next ("" at the end).

    Raises:
        ApiError: 400 for a token that none of these pages gave out.
    """
    if token and not token.isdigit():
        raise failed("INVALID_ARGUMENT", "The provided page token is invalid.")  # guess
    start = int(token or 0)
    end = start + min(size or most, most)
    return rows[start:end], str(end) if end < len(rows) else ""
