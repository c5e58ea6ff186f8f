"""Owns requests to Cloud Storage: Google's credentials, retries, refusals with the grant that helps. Knows no object."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from finetune_image.contract import ENV_EXECUTION, ENV_STORAGE_HOST, Code, TuneFailed
from inference_image.chunks.source import Patience

SETTLE: Final = 90.0
"""Seconds that a job's first requests may be refused: a role that was granted a moment ago takes effect late."""
RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_ENDPOINT: Final = "https://storage.googleapis.com"
_CALLER: Final = re.compile(r"(\S+@\S+) does not have")
_PERMISSION: Final = re.compile(r"(?:not have |[Pp]ermission ')(storage\.[\w.]+)")
_QUERY: Final = re.compile(r"\?[^\s'\")]+")
"""Of an address in an error: that of an upload lets whoever reads it write there."""
_READING: Final = frozenset({"storage.objects.get", "storage.objects.list"})


class Answer(NamedTuple):
    """`lost`: tries before it, any of which may have done the work without our knowing."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    lost: int

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Wire:
    """Requests to the store: credentials, retries, refusals as TuneFailed."""

    def __init__(self, environ: Mapping[str, str], patience: Patience, credentials: Any) -> None:
        emulator = environ.get(ENV_STORAGE_HOST, "")
        self._endpoint = (emulator if "://" in emulator else f"http://{emulator}").rstrip("/") if emulator else _ENDPOINT
        self._environ = environ
        self._patience = patience
        self._credentials = credentials
        self._local = threading.local()
        self._settling = SETTLE if environ.get(ENV_EXECUTION) else 0.0

    def ask(
        self, method: str, path: str, told: str, *, query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None, data: bytes | None = None, also: tuple[int, ...] = (),
    ) -> Answer:  # fmt: skip
        """The answer: 2xx, or of `also`. Raises TuneFailed(access_denied, network_failed, run_invalid)."""
        lost = 0
        while True:
            answer = self.once(method, path, query=query, headers=headers, data=data)
            if isinstance(answer, str) or answer.status in RETRYABLE:
                lost += 1
                self.wait(lost, told, answer)
            elif answer.status < 300 or (answer.status in also and not _no_bucket(answer)):
                self._settling = 0.0
                return answer._replace(lost=lost)
            elif answer.status == 403 and self._settling > 0:
                self._settling -= 5.0
                self._patience.sleep(5.0)
            else:
                raise self.refusal(answer, told)

    def once(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer | str:  # fmt: skip
        """One request; a string says why there is no answer. Raises TuneFailed(access_denied): there are no credentials."""
        import requests
        from google.auth import exceptions

        try:
            response = self._session().request(
                method, path if "://" in path else self._endpoint + path, params=query, data=data, allow_redirects=False,
                headers={"Accept-Encoding": "identity", **(headers or {})}, timeout=(10.0, self._patience.stall),
            )  # fmt: skip
        except (exceptions.DefaultCredentialsError, exceptions.RefreshError) as error:
            if self._passes(error):
                return f"no token: {error}"
            raise TuneFailed(Code.ACCESS_DENIED, "credentials", f"no token: {error}"[:300]) from None
        except (requests.RequestException, exceptions.TransportError, OSError) as error:
            return f"{type(error).__name__}: {_QUERY.sub('?...', str(error))}"
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content, 0)

    def wait(self, failures: int, told: str, why: Answer | str) -> None:
        """Before the next try. Raises TuneFailed(network_failed) when patience is exhausted."""
        said = why if isinstance(why, str) else f"status {why.status}: {_reason(why)}"
        if failures >= self._patience.attempts:
            raise TuneFailed(Code.NETWORK_FAILED, told, f"{failures} tries in a row failed, the last with {said}"[:400])
        after = "" if isinstance(why, str) else why.headers.get("retry-after", "")
        self._patience.wait(failures, float(after) if after.isdigit() else 0.0)

    def refusal(self, answer: Answer, told: str) -> TuneFailed:
        said = f"status {answer.status}: {_reason(answer)}"
        if answer.status in {401, 403}:
            return TuneFailed(Code.ACCESS_DENIED, told, said, *_grant(_reason(answer), told))
        if _no_bucket(answer):
            return TuneFailed(Code.RUN_INVALID, told, said, "check the bucket's name: gcloud storage buckets list")
        return TuneFailed(Code.NETWORK_FAILED, told, said)

    def _passes(self, error: Exception) -> bool:
        """Whether the metadata server only needs a moment. Inside a job there is one, and it gives a token in the end.

        google-auth's credentials of a machine call every failure to reach it final (compute_engine/credentials.py).
        """
        from google.auth.exceptions import TransportError

        retryable = getattr(error, "retryable", False) or isinstance(error.__cause__, TransportError)
        return retryable or bool(self._environ.get(ENV_EXECUTION))

    def _session(self) -> Any:
        if not hasattr(self._local, "session"):
            credentials = self._credentials or self._found()
            if credentials is None:
                import requests

                self._local.session = requests.Session()
            else:
                from google.auth.transport.requests import AuthorizedSession

                self._credentials = credentials
                self._local.session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # ships no types
        return self._local.session

    def _found(self) -> Any:
        """google.auth's chain; against an emulator only credentials that were named on purpose: none else travel there."""
        named = self._environ.get("GOOGLE_APPLICATION_CREDENTIALS") or self._environ.get("GCE_METADATA_HOST")
        if self._environ.get(ENV_STORAGE_HOST) and not named:
            return None
        import google.auth

        return google.auth.default(scopes=[_SCOPE])[0]


def _no_bucket(answer: Answer) -> bool:
    return answer.status == 404 and "bucket does not exist" in _reason(answer)


def _reason(answer: Answer) -> str:
    """The store's own sentence, from JSON or plain text."""
    try:
        return str(json.loads(answer.body)["error"]["message"])[:400]
    except (ValueError, KeyError, TypeError):
        return answer.body.decode("utf-8", "replace").strip()[:200] or "no explanation"


def _grant(said: str, told: str) -> tuple[str, ...]:
    """The command that gives what the refusal names."""
    found, caller = _PERMISSION.search(said), _CALLER.search(said)
    if found is None:
        return ()
    who, permission = caller[1] if caller else "ACCOUNT", found[1]
    role = "roles/storage.objectViewer" if permission in _READING else "roles/storage.objectUser"
    bucket = told.removeprefix("gs://").partition("/")[0]
    kind = "serviceAccount" if who.endswith("gserviceaccount.com") or who == "ACCOUNT" else "user"
    return (
        f"grant {permission}: gcloud storage buckets add-iam-policy-binding gs://{bucket} --member={kind}:{who} --role={role}",
    )
