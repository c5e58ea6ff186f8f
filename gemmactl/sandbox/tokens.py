"""Access and identity tokens of the sandbox: HMACs over the home's secret. Knows no policy.

They are worth something on this machine's loopback only, to the user who can read the secret's file.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

LIFETIME: Final = 3600
"""Seconds that an identity token is good for, as at Google."""


def member_of(email: str) -> str:
    """The IAM member that an e-mail stands for."""
    return f"{'serviceAccount' if email.endswith('gserviceaccount.com') else 'user'}:{email}"


class Tokens:
    """Mints and checks."""

    def __init__(self, secret: bytes, now: Callable[[], datetime]) -> None:
        self._secret = secret
        self._now = now

    def access(self, email: str) -> str:
        """An access token: `EMAIL|MAC`."""
        return f"{email}|{self._mac('access:' + email)}"

    def verify(self, bearer: str) -> str | None:
        """The member whose access token this is; None for any other string."""
        email, _, mac = bearer.rpartition("|")
        if not email or not hmac.compare_digest(mac.encode(), self._mac("access:" + email).encode()):
            return None
        return member_of(email)

    def identity(self, email: str, audience: str) -> str:
        """An ID token (JWT, HS256) for one audience."""
        issued = int(self._now().timestamp())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": audience,
            "email": email,
            "email_verified": True,
            "sub": str(int(hashlib.sha256(email.encode()).hexdigest()[:16], 16)),
            "iat": issued,
            "exp": issued + LIFETIME,
        }
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{signed}.{self._mac('identity:' + signed)}"

    def verify_identity(self, jwt: str) -> tuple[str, str] | None:
        """(member, audience) of a good and unexpired ID token."""
        signed, _, mac = jwt.rpartition(".")
        if not signed or not hmac.compare_digest(mac.encode(), self._mac("identity:" + signed).encode()):
            return None
        claims = _decode(signed.partition(".")[2])
        if claims["exp"] <= self._now().timestamp():
            return None
        return member_of(claims["email"]), str(claims["aud"])

    def _mac(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def _encode(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _decode(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return document
