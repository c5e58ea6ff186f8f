"""Owns the tokens for Cloud Storage: Google's own chain, and on Cloud Run the metadata server alone. Knows no objects."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from inference_image import contract
from inference_image.chunks.wire import Credentials, Transient
from inference_image.contract import Code, LoadFailed

_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_only"
_METADATA: Final = "metadata.google.internal"
_TOKEN: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_EARLY: Final = 225
"""Seconds before its end in which a token is made anew, as google-auth does; the metadata server has a new one by then."""
_MOST_REFUSED: Final = 3


def credentials_of(environ: Mapping[str, str]) -> Credentials | None:
    """Google's own chain; against an emulator only credentials that were named on purpose, else none.

    A laptop's application default credentials must not travel to whatever STORAGE_EMULATOR_HOST names.
    """
    file, host = environ.get("GOOGLE_APPLICATION_CREDENTIALS"), environ.get("GCE_METADATA_HOST")
    if environ.get(contract.ENV_STORAGE_HOST) and not (file or host):
        return None
    if not file and (environ.get("K_SERVICE") or environ.get("CLOUD_RUN_JOB")):
        return MetadataCredentials(host or _METADATA)
    return GoogleCredentials()


class MetadataCredentials:
    """The token of a container's service account. Asked by hand: google-auth's way to it takes 0.2 s to import, each start."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._token, self._until, self._refused = "", 0.0, 0

    def header(self) -> str | None:
        with self._lock:
            if not self._token or time.monotonic() > self._until:
                self._token, seconds = self._ask()
                self._until = time.monotonic() + seconds - _EARLY
            return f"Bearer {self._token}"

    def renew(self, refused: str) -> None:
        with self._lock:
            if refused != f"Bearer {self._token}":
                return  # another reader was here first
            self._refused = _once_more(self._refused)
            self._token = ""

    def _ask(self) -> tuple[str, float]:
        connection = http.client.HTTPConnection(self._host, timeout=5)
        try:
            connection.request("GET", f"{_TOKEN}?scopes={quote(_SCOPE, safe='')}", headers={"Metadata-Flavor": "Google"})
            answer = connection.getresponse()
            body = answer.read(1 << 16)
            if answer.status in {400, 403, 404}:
                raise LoadFailed(Code.ACCESS_DENIED, "credentials", f"the metadata server has no token: status {answer.status}")
            if answer.status != 200:
                raise Transient(f"no token: the metadata server answered with status {answer.status}")
            token = json.loads(body)
            return str(token["access_token"]), float(token["expires_in"])
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"no token: {type(error).__name__} at the metadata server") from None
        except (ValueError, KeyError, TypeError):
            raise Transient("no token: the metadata server's answer is none") from None
        finally:
            connection.close()


def _once_more(refused: int) -> int:
    """How often the store has refused a token by now. Raises LoadFailed when that is too often."""
    if refused >= _MOST_REFUSED:
        raise LoadFailed(Code.ACCESS_DENIED, "credentials", "the store refuses every token of these credentials (401)")
    return refused + 1


class GoogleCredentials:
    """A token from google-auth: application default credentials, or the metadata server on Cloud Run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inner: Any = None
        self._refused = 0

    def header(self) -> str | None:
        from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
        from google.auth.transport.requests import Request

        with self._lock:
            try:
                if self._inner is None:
                    import google.auth

                    self._inner, _ = google.auth.default(scopes=[_SCOPE])
                if not self._inner.valid:
                    self._inner.refresh(Request())
            except DefaultCredentialsError as error:
                raise LoadFailed(Code.ACCESS_DENIED, "credentials", f"no Google credentials: {error}"[:200]) from None
            except TransportError as error:
                raise Transient(f"no token: {error}"[:200]) from None
            except RefreshError as error:
                # On Cloud Run the metadata server sometimes needs a moment; google-auth marks that, or only says why it failed.
                if getattr(error, "retryable", False) or isinstance(error.__cause__, TransportError):
                    raise Transient(f"no token: {error}"[:200]) from None
                raise LoadFailed(Code.ACCESS_DENIED, "credentials", f"no token: {error}"[:200]) from None
            return f"Bearer {self._inner.token}"

    def renew(self, refused: str) -> None:
        with self._lock:
            if self._inner is not None and refused != f"Bearer {self._inner.token}":
                return  # another reader was here first
            self._refused = _once_more(self._refused)
            if self._inner is not None:
                self._inner.token = None
