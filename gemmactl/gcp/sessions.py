"""An HTTP session that asks its surroundings once. Knows no API."""

from __future__ import annotations

from typing import Any


def settle(session: Any, url: str) -> None:
    """Ask the environment for proxy and certificates once: requests does so before every request, a good part of its cost.

    All requests of the session go to the host of `url`, so the answer is the same for all.
    """
    known = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify, session.cert = known["proxies"], known["verify"], known["cert"]
    session.trust_env = False
