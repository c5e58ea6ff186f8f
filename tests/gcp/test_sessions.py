"""A session's proxy and certificates: asked of the environment once, and kept."""

from __future__ import annotations

from typing import Any

import requests

from gemmactl.gcp.sessions import settle

HERE = "https://run.googleapis.com"


class Surrounded(requests.Session):
    """Somewhere behind a company's proxy; counts how often that is looked up."""

    asked = 0

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> dict[str, Any]:
        if self.trust_env:
            self.asked += 1
            self.seen = url
            return {"proxies": {"https": "http://proxy:8080"}, "stream": False, "verify": "/etc/company.pem", "cert": None}
        return super().merge_environment_settings(url, proxies, stream, verify, cert)


def test_the_surroundings_are_asked_once() -> None:
    """What they said goes with every later request, and nobody asks again."""
    session = Surrounded()
    settle(session, HERE)
    for _ in range(3):
        known = session.merge_environment_settings(f"{HERE}/v2/x", {}, None, None, None)
        assert (known["proxies"], known["verify"]) == ({"https": "http://proxy:8080"}, "/etc/company.pem")
    assert (session.asked, session.seen) == (1, HERE)
