"""The endpoint of a pretended cloud that lets anybody read. Knows no server and no client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """Every API is one address."""

    base_url: str
    caller: str = "bench@sandbox.invalid"

    def token(self) -> str:
        return "none"

    def id_token(self, audience: str) -> str:
        return "none"
