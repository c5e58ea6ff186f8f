"""Whose a Hugging Face token is, as the hub itself says. Knows no model and keeps no token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.errors import Trouble
from inference_image import contract

SECONDS: Final = 10.0
"""The longest silence: a check stands before somebody who waits."""


@dataclass(frozen=True)
class HubAccount:
    """`role`: `read`, `write` or `fineGrained`, as the hub calls a token's kinds; `` where it says none."""

    name: str
    role: str = ""


def whoami(token: str, environ: Mapping[str, str]) -> HubAccount | None:
    """The account of a token; None: the hub knows no such token.

    source: huggingface.co/docs/hub/api, whoami-v2

    Raises:
        Trouble: the hub can't be reached, or answers with something else.
    """
    from inference_image.chunks.wire import Transient, Wire, read_json

    url = (environ.get(contract.ENV_HF_ENDPOINT) or "https://huggingface.co").rstrip("/") + "/api/whoami-v2"
    try:
        with Wire(environ, SECONDS).get(url, {"Authorization": f"Bearer {token}"}) as response:
            if response.status in (401, 403):
                return None
            if response.status != 200:
                raise _silent(f"status {response.status}")
            said: Any = read_json(response)
    except (OSError, Transient) as error:
        raise _silent(str(error) or type(error).__name__) from None
    if not isinstance(said, dict):
        raise _silent("an answer that names no account")
    access = (said.get("auth") or {}).get("accessToken") or {}
    return HubAccount(str(said.get("name", "")), str(access.get("role", "")))


def _silent(detail: str) -> Trouble:
    return Trouble(
        "the Hugging Face hub does not say whose the token is",
        why=detail,
        remedy="check the network, HTTPS_PROXY and HF_ENDPOINT, then run the same command again",
        code="network",
    )
