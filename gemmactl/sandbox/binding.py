"""JSON bodies and text parameters into protobuf messages, with Google's 400 when they do not fit. Knows no route."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message

from gemmactl.sandbox.wire import ApiError, failed

_AS_JSON_TEXT: Final = frozenset(("google.protobuf.FieldMask", "google.protobuf.Timestamp", "google.protobuf.Duration"))
"""Messages whose JSON form is a string, so that they can stand in a query."""


def bind_body(message: Message, field: str, body: bytes) -> None:
    """Parse the JSON body into the message, or into one field of it."""
    target = message if not field else getattr(message, _field(message, field).name)
    try:
        json_format.Parse(body.decode(), target)
    except (json_format.ParseError, ValueError) as wrong:
        raise _refusal(str(wrong), field) from None
    if field and not message.HasField(_field(message, field).name):
        target.SetInParent()


def bind_text(message: Message, path: str, values: list[str]) -> None:
    """Set the field at a dotted path from the text of a query or a URI."""
    *outer, last = path.split(".")
    here: Any = message
    for name in outer:
        found = _field(here, name)
        if found.message_type is None:
            raise _unbound(path)
        here = getattr(here, found.name)
    field = _field(here, last)
    try:
        _assign(here, field, values)
    except (json_format.ParseError, ValueError, TypeError) as wrong:
        raise failed(
            "INVALID_ARGUMENT", f"Invalid value at '{path}' ({values[0]!r})", _violation(path, str(wrong).splitlines()[0])
        ) from None


def _assign(here: Message, field: Any, values: list[str]) -> None:
    if field.message_type is not None:
        text = json.dumps(values[0]) if field.message_type.full_name in _AS_JSON_TEXT else values[0]
        json_format.Parse(text, getattr(here, field.name))
        return
    given: list[Any] = list(values)
    if field.type == field.TYPE_BOOL:
        given = [_boolean(value) for value in values]
    json_format.ParseDict({field.json_name: given if field.is_repeated else given[0]}, here)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _field(message: Message, name: str) -> Any:
    for field in message.DESCRIPTOR.fields:
        if name in (field.name, field.json_name):
            return field
    raise _unbound(name)


def _unbound(name: str) -> ApiError:
    text = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
    return failed("INVALID_ARGUMENT", f"{text} Field '{name}' could not be found in request message.", _violation("", text))


def _refusal(wrong: str, field: str) -> ApiError:
    """Google's words for what json_format says. Source of the wording: public bug reports that quote the JSON front end."""
    first = wrong.splitlines()[0]
    unknown = re.search(r'has no field named "([^"]+)"(?: at "([^"]+)")?', first)
    if unknown:
        where = _path(field, unknown[2] or "")
        at = f" at '{where}'" if where else ""
        text = f'Invalid JSON payload received. Unknown name "{unknown[1]}"{at}: Cannot find field.'
        return failed("INVALID_ARGUMENT", text, _violation(where, text))
    bad = re.search(r"Failed to parse (\S+) field: (.*)", first)
    where = _path(field, bad[1]) if bad else field
    text = f"Invalid value at '{where}'" + (f", {bad[2].rstrip('.')}" if bad else f": {first}")
    return failed("INVALID_ARGUMENT", text, _violation(where, text))


def _path(field: str, inner: str) -> str:
    """`service` and `Service.template` as `service.template`."""
    head, _, rest = inner.partition(".")
    if head[:1].isupper():
        inner = rest
    return ".".join(part for part in (field, inner) if part)


def _violation(field: str, description: str) -> dict[str, Any]:
    violations = [{"field": field, "description": description}]
    return {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
