"""Owns how a request's body is read: no further than its limit. Knows no content."""

from __future__ import annotations

from fastapi import Request

from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine.request import Refused


async def read_body(request: Request, limit: int = contract.BODY_LIMIT) -> bytes:
    """The whole body. Raises Refused(body_too_large)."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refused(RequestCode.BODY_TOO_LARGE, f"the body is larger than {limit} bytes")
    return bytes(body)
