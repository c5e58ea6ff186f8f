"""Owns who is let in where the service asks for API keys: every route but /health. Knows no file and no route's content."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from fastapi.responses import JSONResponse

from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine.request import Refused
from inference_image.server.errors import refusal
from inference_image.server.keyring import Keyring
from inference_image.server.record import Record
from inference_image.server.watch import App, Message, Receive, Send

_LONGEST: Final = 512
"""Characters of what may be a key: more is none, and is not hashed."""


_ROUTES: Final = frozenset(str(value) for name, value in vars(contract).items() if name.startswith("ROUTE_"))


class Guard:
    """A pure ASGI middleware below Watch: a refused request too has its line and is counted."""

    def __init__(self, app: App, keyring: Keyring) -> None:
        self._app, self._keyring = app, keyring

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == contract.ROUTE_HEALTH:
            await self._app(scope, receive, send)
            return
        record = scope.get("state", {}).get("record") or Record(scope["method"])
        if scope["path"] in _ROUTES:
            record.route = scope["path"]  # a refused request never reaches the router, which would say so
        try:
            await self._admit(scope, record)
        except Refused as error:
            record.code = str(error.code)
            await _refused(error, scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Message, record: Record) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        shown = presented(headers, reads=scope["method"] in ("GET", "HEAD"))
        if not shown:
            raise Refused(RequestCode.API_KEY_MISSING, "an API key is needed: Authorization: Bearer KEY, or x-api-key: KEY")
        key = await self._keyring.holder(shown) if len(shown) <= _LONGEST else None
        if key is None:
            raise Refused(
                RequestCode.INVALID_API_KEY, "this API key is not known here: it was never made, is revoked or has expired"
            )
        record.key = key.id
        if scope["method"] == "POST":
            self._keyring.spend(key)


def presented(headers: Mapping[str, str], *, reads: bool = False) -> str:
    """The key that a request shows, or ``. Names of headers are in lower case.

    x-api-key comes first: while Cloud Run asks for an ID token as well, that one may be in Authorization. A browser that was
    asked at the page sends the key as the password of Basic, on its own with every request: so for another site's only where
    nothing but reading comes of it, as when its link leads to the page.
    """
    if key := headers.get(contract.KEY_HEADER, "").strip():
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic" if reads or headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            try:
                return base64.b64decode(value, validate=True).decode().partition(":")[2]
            except ValueError:  # no base64, or bytes that are no text
                return ""
        case _:
            return ""


def _refused(error: Refused, path: str) -> JSONResponse:
    status, body, headers = refusal(error, path)
    if status == 401:
        # the page alone makes a browser ask for the key; a program is told how it shows one
        scheme = 'Basic realm="API key as the password", charset="UTF-8"' if path == contract.ROUTE_PAGE else "Bearer"
        headers = {**headers, "WWW-Authenticate": scheme}
    return JSONResponse(body, status, dict(headers))
