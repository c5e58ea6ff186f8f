"""Owns how the page at / is sent: one file, and the header that lets it do nothing but what is in it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI, Response

from inference_image import contract

FILE = Path(__file__).with_name("page.html")


def policy(html: str) -> str:
    """Content-Security-Policy: its own script and style by their hashes, its own origin, nothing else."""
    sources = {}
    for tag in ("script", "style"):
        blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
        sources[tag] = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def add_page(app: FastAPI) -> None:
    """GET and HEAD of the page."""
    html = FILE.read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": policy(html),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    async def page() -> Response:
        return Response(html, media_type="text/html", headers=headers)

    app.add_api_route(contract.ROUTE_PAGE, page, methods=["GET", "HEAD"], response_model=None, include_in_schema=False)
