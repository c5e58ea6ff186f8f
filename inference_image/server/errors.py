"""Owns the two forms of a refusal: gemmactl's own, and OpenAI's below /v1/. Knows no route's content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inference_image import contract
from inference_image.contract import REQUEST_STATUS, RequestCode
from inference_image.engine.request import Refused

# OpenAI's words for kinds of errors; its clients look at the status.
_KINDS: Final = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}
_PROMPT_OF: Final = {contract.ROUTE_CHAT: "messages", contract.ROUTE_COMPLETIONS: "prompt"}


def refusal(refused: Refused, path: str) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Status, body and headers of a refused request."""
    status = REQUEST_STATUS[refused.code]
    headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after is not None else {}
    if path.startswith(contract.OPENAI_PREFIX):
        status = 400 if status == 422 else status
        return status, openai_error(refused, path), headers
    return status, {"error": {"code": str(refused.code), "message": refused.message, **refused.facts}}, headers


def openai_error(refused: Refused, path: str) -> dict[str, Any]:
    """`param` names the first field that is wrong, where it is a field."""
    message, param = refused.message, refused.facts.get("param")
    fields = refused.facts.get("fields")
    if fields:
        param = fields[0]["field"]
        message = "; ".join(f"{row['field']}: {row['problem']}" for row in fields)
    elif refused.code is RequestCode.CONTEXT_LENGTH_EXCEEDED:
        param = _PROMPT_OF.get(path)
    kind = _KINDS.get(REQUEST_STATUS[refused.code], "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": str(refused.code)}}


def of_http(status: int) -> Refused:
    """What the router itself refuses: a path that is none of ours, or a method that a path doesn't have."""
    if status == REQUEST_STATUS[RequestCode.METHOD_NOT_ALLOWED]:
        return Refused(RequestCode.METHOD_NOT_ALLOWED, "this path is asked with another method")
    return Refused(RequestCode.NOT_FOUND, "there is no such path; /openapi.json lists all")
