"""Where an API answers: Google's real host, or one loopback address for all. Knows no API and no credentials."""

from __future__ import annotations

from typing import Protocol


class Endpoint(Protocol):
    """A pretended cloud: one address for every API, and who the caller is there."""

    @property
    def base_url(self) -> str: ...
    @property
    def caller(self) -> str:
        """E-mail of the caller."""

    def token(self) -> str:
        """A fresh access token."""

    def id_token(self, audience: str) -> str: ...


def url(endpoint: Endpoint | None, host: str) -> str:
    """Base URL of an API. The real host name stays in use, so proxies and recorders see it."""
    return endpoint.base_url if endpoint else f"https://{host}"


def member(email: str) -> str:
    """The IAM member of an e-mail; service accounts are told by their domain."""
    if not email:
        return ""
    kind = "serviceAccount" if email.endswith(".gserviceaccount.com") else "user"
    return f"{kind}:{email}"
