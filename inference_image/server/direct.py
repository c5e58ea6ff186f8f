"""Owns the short way to the routes that compute, without FastAPI's layers. Knows no form of a request.

A stream wakes up dozens of times, and each time Python walks down through every layer around it; FastAPI's routing alone costs
more than what a route does itself. FastAPI has the same handlers for its document, and answers all other paths and methods.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response

from inference_image.engine.request import Refused
from inference_image.server.record import record_of
from inference_image.server.watch import App, Message, Receive, Send

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Handlers:
    """POST routes by their path; `refused` makes the response of what a handler refuses."""

    routes: Mapping[str, Handler]
    refused: Callable[[Request, Refused], Response]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        record_of(request).route = scope["path"]
        try:
            response = await self.routes[scope["path"]](request)
            await response(scope, receive, send)
        except Refused as error:
            await self.refused(request, error)(scope, receive, send)


class Shortcut(FastAPI):
    """FastAPI, but POST requests for `paths` go to `short`."""

    paths: frozenset[str] = frozenset()
    short: App

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self.paths:
            await self.short(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
