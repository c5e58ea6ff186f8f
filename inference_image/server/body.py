"""Owns how a request's body is read: no further than its limit and no longer than its time. Knows no content."""

from __future__ import annotations

import asyncio

from fastapi import Request

from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine.request import Refused


async def read_body(request: Request, limit: int = contract.BODY_LIMIT, seconds: float = contract.BODY_SECONDS) -> bytes:
    """The whole body. Raises Refused(body_too_large, body_timeout).

    A declared length is judged before anything is read: a client that asked `Expect: 100-continue` then sends nothing.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise Refused(RequestCode.BODY_TIMEOUT, f"the body did not arrive within {seconds:g} seconds") from None
    return bytes(body)


def _too_large(limit: int) -> Refused:
    return Refused(RequestCode.BODY_TOO_LARGE, f"the body is larger than {limit} bytes", facts={"limit": limit})
