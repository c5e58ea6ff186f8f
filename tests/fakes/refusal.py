"""What a gateway would raise for an answer of the API. Knows no API."""

from __future__ import annotations

from typing import Any

from gemmactl.errors import Trouble


def refusal(status: int, message: str, **facts: Any) -> Trouble:
    """What a gateway would raise for an answer of the API."""
    code = {404: "not-found", 409: "conflict", 412: "precondition", 403: "denied"}.get(status, "invalid")
    return Trouble(message, why=message, remedy="test", code=code, facts={"status": status, "message": message, **facts})
