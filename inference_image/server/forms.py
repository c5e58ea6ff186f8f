"""Owns how a body becomes a form: JSON in UTF-8, and fields that are named when they are wrong. Knows no form by name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from inference_image.contract import RequestCode
from inference_image.engine.request import Refused

_WHOLE = 1 << 63
Form = TypeVar("Form", bound=BaseModel)


def json_object(body: bytes) -> dict[str, Any]:
    """Raises Refused(invalid_json): no UTF-8, no JSON, nested too deep, a number that is none, or not an object."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise Refused(RequestCode.INVALID_JSON, "the body is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Refused(RequestCode.INVALID_JSON, "the body is not a JSON object")
    return value


def validated(form: type[Form], value: dict[str, Any]) -> Form:
    """Raises Refused(invalid_request): it names each wrong field and repeats none of its content."""
    try:
        return form.model_validate(value)
    except ValidationError as error:
        rows = error.errors(include_url=False, include_context=False, include_input=False)
    raise _wrong((_path(row["loc"]), row["msg"]) for row in rows[:20])


def wrong_fields(rows: Iterable[tuple[str, str]]) -> NoReturn:
    """Raises Refused(invalid_request) for pairs of a field and what is wrong with it."""
    raise _wrong(rows)


def _wrong(rows: Iterable[tuple[str, str]]) -> Refused:
    fields = [{"field": field, "problem": problem} for field, problem in rows]
    names = ", ".join(dict.fromkeys(row["field"] for row in fields))
    return Refused(RequestCode.INVALID_REQUEST, f"wrong fields: {names}", facts={"fields": fields})


def _path(location: tuple[int | str, ...]) -> str:
    """`messages.0.role`. A name that is no text, which JSON allows, can't be sent back as it is."""
    return ".".join(str(part)[:60] for part in location or ("body",)).encode("utf-8", "replace").decode()


def _number(text: str) -> float:
    """JSON knows one kind of number: 8.0 is 8."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")
