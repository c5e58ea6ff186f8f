"""Owns the routes that tell how the service is: health, readiness, timeline, version, metrics, presets. Knows no prompt."""

from __future__ import annotations

import asyncio
import platform
from functools import cache
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

import inference_image
from inference_image import contract
from inference_image.presets import BUILT_IN
from inference_image.server import openapi
from inference_image.server.metrics import exposition
from inference_image.server.service import Service

_SERVED = ("model", "engine", "device", "dtype", "context", "rows")
"""Facts of the timeline that /version tells as well."""


@cache
def _packages() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("torch", "transformers", "tokenizers")}


def add_probes(app: FastAPI, service: Service) -> None:
    """GET, and HEAD for those that only want the status."""

    async def health(request: Request) -> Response:
        if request.headers.get(contract.PROBE_HEADER) == "ready" and not service.ready:
            return JSONResponse({"status": "not ready"}, 503, {"Retry-After": "1"})
        return JSONResponse({"status": "ok"})

    async def ready() -> Response:
        if service.ready:
            return JSONResponse({**service.timeline.progress(), "eta_s": 0.0})
        stage = {"stage": "draining", "eta_s": None} if service.draining else {}
        return JSONResponse({**service.timeline.progress(), **stage}, 503, {"Retry-After": "1"})

    async def timeline() -> Response:
        if service.engine is None:
            return JSONResponse(service.timeline.progress(), 503, {"Retry-After": "1"})
        return JSONResponse(service.timeline.record())

    async def version() -> dict[str, Any]:
        facts = service.timeline.facts()
        told: dict[str, Any] = {name: facts[name] for name in _SERVED if name in facts}
        return {"gemmactl": inference_image.__version__, "python": platform.python_version(), **_packages(), **told}

    async def metrics(request: Request) -> Response:
        # The first scrape imports prometheus-client: not on the event loop.
        await asyncio.to_thread(__import__, "prometheus_client")
        body, kind = exposition(service, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": kind})

    async def presets() -> list[dict[str, Any]]:
        types = service.engine.presets if service.engine is not None else BUILT_IN
        return [{"type": one.type, "mode": one.mode, "max_tokens": one.max_tokens} for one in types.rows.values()]

    for path, route, described in (
        (contract.ROUTE_HEALTH, health, openapi.HEALTH),
        (contract.ROUTE_READY, ready, openapi.READY),
        (contract.ROUTE_TIMELINE, timeline, openapi.TIMELINE),
        (contract.ROUTE_VERSION, version, openapi.VERSION),
        (contract.ROUTE_METRICS, metrics, openapi.METRICS),
        (contract.ROUTE_PRESETS, presets, openapi.PRESETS),
    ):
        app.add_api_route(path, route, methods=["GET"], **described)
        app.add_api_route(path, route, methods=["HEAD"], response_model=None, include_in_schema=False)
