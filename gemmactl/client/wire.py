"""One HTTP exchange with a service, over the standard library. Knows no route and never tries again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gemmactl.errors import Trouble


@dataclass(frozen=True)
class Reply:
    """An answer, whatever its status. `headers` have lower-case keys."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, or None when it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Wire(Protocol):
    """The border: one method, so that a test passes its own."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        """One exchange.

        Raises:
            Trouble: no answer came at all.
        """


@dataclass(frozen=True)
class Https:
    """The real wire. Honours HTTPS_PROXY and NO_PROXY (urllib's own) and the CA file of REQUESTS_CA_BUNDLE or SSL_CERT_FILE."""

    environ: Mapping[str, str]

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        import http.client
        import urllib.request

        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310 - the address comes from the Run API
        try:
            with self._opened(request, timeout) as answer:
                return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Trouble(
                f"{url} does not answer",
                why=f"{type(reason).__name__}: {reason}",
                remedy="look at `gemmactl status`, and at this machine's network and proxy settings",
                code="service-unreachable",
                facts={"url": url, "reason_text": str(reason)},
            ) from None

    def _opened(self, request: Any, timeout: float) -> Any:
        """The answer, whatever its status. A redirect is one too: followed, it would get the token and the key."""
        import ssl
        import urllib.error
        import urllib.request

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        bundle = self.environ.get("REQUESTS_CA_BUNDLE") or self.environ.get("SSL_CERT_FILE")
        context = ssl.create_default_context(cafile=bundle or None)
        try:
            return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Stay).open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            return error
