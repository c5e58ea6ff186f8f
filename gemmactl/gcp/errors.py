"""Exceptions of Google's clients -> Trouble with facts. Knows no single API and proposes no role: doctor does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.apis import KNOWN

ERROR_INFO: Final = "google.rpc.ErrorInfo"
PREFIX: Final = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE|HEAD) \S+: ")
DENIED_ON: Final = re.compile(
    r"[Pp]ermission '?\"?([\w.]+)'?\"? denied (?:on|for)(?: resource| service account)?+ '?\"?([^'\"\s(][^'\"\s]*)"
)
BUCKET: Final = re.compile(r"gs://([a-z0-9][a-z0-9._-]+)")
STORAGE: Final = re.compile(r"^(\S+@\S+) does not have (storage\.[\w.]+) access")

Words = tuple[str, str, str]
"""code, why (empty: the API's message), remedy"""

BY_STATUS: Final[dict[int, Words]] = {
    400: ("invalid", "", "gemmactl doctor may know this message; else change the setting that it names"),
    401: ("unauthenticated", "", "log in again: gcloud auth application-default login"),
    403: ("denied", "", "gemmactl doctor names the role that is missing and whom to ask"),
    404: ("not-found", "", "check the name, the project and the region"),
    409: ("conflict", "", "run the same command again: somebody changed it at the same time"),
    412: ("precondition", "", "run the same command again: somebody changed it at the same time"),
    429: ("quota", "", "wait a minute and run the same command again"),
}
ACT_AS: Final = "iam.serviceAccounts.actAs"
"""Denied also to an owner while the account is new: "denied on service account X (or it may not exist)"."""
CALLERS: Final = ("The caller does not have permission", "Policy update access denied.")
"""Sentences about the caller that name no permission (Cloud Build, Resource Manager)."""
BY_REASON: Final[dict[str, Words]] = {
    "SERVICE_DISABLED": ("api-disabled", "", "{deploy}gcloud services enable {service}"),
    "BILLING_DISABLED": ("billing-disabled", "", "link a billing account to the project in the console, then wait a few minutes"),
    "UREQ_PROJECT_BILLING_NOT_FOUND": ("billing-disabled", "", "link a billing account to the project in the console"),
    "USER_PROJECT_DENIED": (
        "quota-project",
        "",
        (
            "ask for roles/serviceusage.serviceUsageConsumer on the project, or name one where you have it: "
            "export GOOGLE_CLOUD_QUOTA_PROJECT=PROJECT"
        ),
    ),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": ("scopes", "", "gcloud auth application-default login"),
    "CONSUMER_INVALID": ("project-unknown", "", "check the project's id: gcloud projects list"),
}


@contextmanager
def translated(api: str, doing: str) -> Iterator[None]:
    """Turn whatever a Google client raises inside into a Trouble. `doing`: what was tried, as a noun phrase."""
    try:
        yield
    except Trouble:
        raise
    except Exception as error:
        trouble = translate(error, api, doing)
        if trouble is None:
            raise
        raise trouble from error


def translate(error: Exception, api: str, doing: str) -> Trouble | None:
    """The Trouble of an exception; None when it is none of Google's, requests' or the network's."""
    import requests
    from google.api_core import exceptions as api_core
    from google.auth import exceptions as auth

    if isinstance(error, api_core.RetryError) and isinstance(error.cause, Exception):
        return translate(error.cause, api, doing)
    if isinstance(error, api_core.GoogleAPICallError):
        return _call(error, api, doing)
    if isinstance(error, auth.DefaultCredentialsError):
        return no_credentials(str(error))
    if isinstance(error, auth.TransportError | requests.exceptions.RequestException | ConnectionError | TimeoutError):
        return _network(error, api, doing)
    if isinstance(error, auth.GoogleAuthError):
        return _not_the_account(error) or _federation(error) or _expired(error)
    return _storage_stream(error, api, doing)


def no_credentials(why: str = "") -> Trouble:
    """Nobody is logged in on this machine."""
    return Trouble(
        "no Google Cloud credentials were found",
        why=re.split(r"\n| To set up", why, maxsplit=1)[0] or "there are no Application Default Credentials on this machine",
        remedy="gcloud auth application-default login, "
        "or: export GOOGLE_APPLICATION_CREDENTIALS=KEY.json; without an account try --project @sandbox",
        code="no-credentials",
        exit=Exit.REFUSED,
        facts={"commands": ["gcloud auth login", "gcloud auth application-default login"]},
    )


def message_of(error: Any) -> str:
    """The API's own sentence, without the `POST https://...:` that the REST transports put before it."""
    return PREFIX.sub("", str(getattr(error, "message", None) or error))


def info_of(error: Any) -> dict[str, Any]:
    """The ErrorInfo of an error as a plain dict, or {}. Its details are messages (clients) or dicts (plain REST)."""
    for detail in getattr(error, "details", None) or ():
        if isinstance(detail, Mapping):
            if str(detail.get("@type", "")).endswith(ERROR_INFO):
                return {"reason": detail.get("reason", ""), "domain": detail.get("domain", ""), **(detail.get("metadata") or {})}
        elif getattr(getattr(detail, "DESCRIPTOR", None), "full_name", "") == ERROR_INFO:
            return {"reason": detail.reason, "domain": detail.domain, **dict(detail.metadata)}
    return {}


def violations_of(error: Any) -> list[str]:
    """Field violations of a rejected request: `field: description`."""
    out: list[str] = []
    for detail in getattr(error, "details", None) or ():
        found = detail.get("fieldViolations", ()) if isinstance(detail, Mapping) else getattr(detail, "field_violations", ())
        for v in found:
            pair = (v.get("field", ""), v.get("description", "")) if isinstance(v, Mapping) else (v.field, v.description)
            out.append(": ".join(part for part in pair if part))
    return out


def facts_of(error: Any, api: str) -> dict[str, Any]:
    """What the API said about a refusal, by the names that doctor reads."""
    message = message_of(error)
    info = info_of(error)
    facts: dict[str, Any] = {"api": api, "status": int(error.code or 0), "message": message}
    facts |= {k: v for k, v in info.items() if k in ("reason", "permission", "resource", "service", "consumer")}
    if "reason" not in facts and any(isinstance(e, Mapping) and e.get("reason") == "accessNotConfigured" for e in _listed(error)):
        # the older form of a disabled API, which JSON APIs such as Cloud Storage's also have without an ErrorInfo
        facts |= {"reason": "SERVICE_DISABLED", "service": api}
    if info.get("activationUrl"):
        facts["activation_url"] = info["activationUrl"]
    if found := STORAGE.match(message):
        facts.setdefault("permission", found[2])
        facts["principal"] = found[1]
    if found := DENIED_ON.search(message):
        # Cloud Run writes this one permission in lower case
        facts.setdefault("permission", found[1].replace("serviceaccounts", "serviceAccounts"))
        facts.setdefault("resource", found[2])
    if violations := violations_of(error):
        facts["violations"] = violations
    if settling(facts):
        facts["denied"] = True
    return facts


def _listed(error: Any) -> Iterable[Any]:
    """The `errors` of a JSON API's body."""
    return getattr(error, "errors", None) or ()


def settling(facts: Mapping[str, Any]) -> bool:
    """Whether a refusal may pass by itself after a grant, a new account or an API that was just enabled.

    A right that the caller itself lacks is no such refusal: an apply grants to service accounts, and waiting would help nobody.
    """
    if facts.get("reason") == "SERVICE_DISABLED":
        return True
    permission = str(facts.get("permission", ""))
    callers_own = (permission and permission != ACT_AS) or facts.get("message") in CALLERS
    return facts.get("status") == 403 and not callers_own


def _call(error: Any, api: str, doing: str) -> Trouble:
    facts = facts_of(error, api)
    if "permission" in facts and len(asked := set(BUCKET.findall(doing))) == 1:
        facts.setdefault("resource", f"gs://{asked.pop()}")  # Cloud Storage says what is missing, and not where
    status, reason = facts["status"], str(facts.get("reason", ""))
    down = ("unavailable", "", "wait a minute and run the same command again")
    code, why, remedy = BY_REASON.get(reason) or BY_STATUS.get(status) or down
    said = "; ".join(dict.fromkeys((facts["message"], *facts.get("violations", ())))) or f"HTTP {status}"
    service = str(facts.get("service", api))
    by_us = "gemmactl deploy enables it; or: " if service in KNOWN else ""
    return Trouble(
        f"{doing} was refused by {api}" if status in (400, 403, 409, 412) else f"{doing} failed at {api}",
        why=why or said,
        remedy=remedy.format(service=service, deploy=by_us),
        code=code,
        facts=facts,
    )


def _network(error: Exception, api: str, doing: str) -> Trouble:
    kind = type(error).__name__
    certificate = "CERTIFICATE_VERIFY_FAILED" in str(error) or kind == "SSLError"
    proxy = kind == "ProxyError"
    remedy = (
        "point REQUESTS_CA_BUNDLE at the certificate of your company's proxy" if certificate
        else "check HTTPS_PROXY and NO_PROXY" if proxy
        else "check the network, then run the same command again"
    )  # fmt: skip
    return Trouble(
        f"{api} can't be reached for {doing}",
        why=f"{kind}: {str(error)[:300]}",
        remedy=remedy,
        code="network",
        facts={"api": api, "network": kind, "message": str(error)[:500]},
    )


def _not_the_account(error: Exception) -> Trouble | None:
    """Somebody is logged in, but may not act as the service account."""
    said = " ".join(map(str, error.args))
    if "impersonated credentials" not in said:
        return None
    found = re.search(r'"message": *"((?:[^"\\\\]|\\\\.)*)"', said)
    return Trouble(
        "the service account can't be impersonated",
        why=found[1] if found else said[:300],
        remedy="ask for roles/iam.serviceAccountTokenCreator on that account, and enable its project's API: "
        "gcloud services enable iamcredentials.googleapis.com",
        code="impersonation",
        exit=Exit.REFUSED,
        facts={"message": said[:500], "permission": "iam.serviceAccounts.getAccessToken"},
    )


def _federation(error: Exception) -> Trouble | None:
    """Workload identity federation: the token of the other side is missing, or was not accepted."""
    from google.auth import exceptions as auth

    said = str(error.args[0] if error.args else error)
    if not isinstance(error, auth.OAuthError) and not re.search(r"subject token|^File '.*' was not found", said, re.IGNORECASE):
        return None
    return Trouble(
        "the token for workload identity federation was not accepted",
        why=said[:300],
        remedy="check what the credentials' file names: where the token is read, and the provider's issuer, audience and "
        "attribute condition",
        code="federation",
        exit=Exit.REFUSED,
        facts={"message": said[:500]},
    )


def _expired(error: Exception) -> Trouble:
    return Trouble(
        "the Google Cloud credentials of this machine no longer work",
        why=str(error.args[0] if error.args else error)[:300],
        remedy="gcloud auth application-default login",
        code="credentials-expired",
        exit=Exit.REFUSED,
        facts={"message": str(error)[:500], "commands": ["gcloud auth application-default login"]},
    )


def _storage_stream(error: Exception, api: str, doing: str) -> Trouble | None:
    """Errors that the storage client's up- and downloads raise in words of their own."""
    from google.api_core.exceptions import from_http_response
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse  # type: ignore[import-untyped]  # ships none

    if isinstance(error, InvalidResponse):
        make: Callable[[Any], Exception] = from_http_response
        return translate(make(error.response), api, doing)
    if isinstance(error, DataCorruption):
        return Trouble(
            f"{doing}: the bytes that arrived are not those that were sent",
            why=str(error)[:300],
            remedy="run the same command again: what is complete is not sent twice",
            code="corrupted",
            facts={"api": api, "message": str(error)[:500]},
        )
    return None
